"""Progress bars: how talkative a program is, where a bar can be drawn, and lines that do not spoil one."""

import os
import sys
from typing import Any, TextIO

from minidl._core.errors import InputError

VARIABLE = "MINIDL_VERBOSE"


def verbosity(verbose: int | None) -> int:
    """Return how much to say: 0 nothing, 1 bars, 2 a line now and then; None asks the environment, then takes 1.

    Raises
    ------
    InputError
        If the argument, or ``MINIDL_VERBOSE`` where it counts, is not 0, 1 or 2.
    """
    if verbose is not None:
        if isinstance(verbose, bool) or not isinstance(verbose, int) or not 0 <= verbose <= 2:
            raise InputError(f"verbose: expected 0 (nothing), 1 (a bar) or 2 (lines), got {verbose!r:.80}")
        return verbose
    text = os.environ.get(VARIABLE, "").strip() or "1"
    if text not in ("0", "1", "2"):
        raise InputError(f"the environment variable {VARIABLE}: expected 0, 1 or 2, got {text!r:.80}")
    return int(text)


def new_bar(total: int, stream: TextIO, **options: Any) -> Any | None:
    """Return a tqdm bar on `stream`, or None where none can be drawn.

    A terminal gets a line, unless it is a dumb one; a notebook, in place of its standard error, a widget if it has
    ipywidgets. What tqdm takes from the environment, such as ``TQDM_DISABLE``, holds.
    """
    if stream is sys.stderr and in_notebook():
        from tqdm import notebook  # here, as below: importing minidl must stay quick

        drawn = getattr(notebook, "IProgress", None) is not None  # else there is no ipywidgets
        return notebook.tqdm(total=total, **options) if drawn else None
    isatty = getattr(stream, "isatty", None)  # which is not there in what only copies standard error to a file
    if isatty is None or not isatty() or os.environ.get("TERM") == "dumb":
        return None
    from tqdm import tqdm

    if not _tells_its_size(stream):
        options |= {"ncols": 80, "nrows": 24}
    elif "TQDM_NCOLS" not in os.environ:
        options["dynamic_ncols"] = True
    return tqdm(total=total, file=stream, **options)


def _tells_its_size(stream: TextIO) -> bool:
    """Return whether a terminal knows its size; some, of containers say, answer 0, and tqdm would draw nothing."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except (OSError, ValueError, AttributeError):
        return False


def download_bar(total: int, **options: Any) -> Any:
    """Return a tqdm bar on standard error for what takes minutes: also without a terminal, where it moves seldom.

    It is not drawn where ``MINIDL_VERBOSE`` asks for no bars.
    """
    hidden = verbosity(None) != 1 or sys.stderr is None
    bar = None if hidden else new_bar(total, sys.stderr, **options)
    if bar is not None:
        return bar
    from tqdm import tqdm

    return tqdm(total=total, mininterval=10.0, disable=hidden, **options)


def say(line: str, verbose: int | None = None) -> None:
    """Tell the person at the terminal what is going on, above any bars, unless nothing is to be said."""
    if verbosity(verbose) == 0 or sys.stderr is None:
        return
    if (tqdm := sys.modules.get("tqdm")) is not None:
        tqdm.tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
    sys.stderr.flush()


def in_notebook() -> bool:
    """Return whether this program runs in a Jupyter kernel, which has a shell of its own kind.

    Whatever is only installed says nothing, so nothing is imported.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)
