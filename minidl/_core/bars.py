"""Progress bars: how talkative a program is, where a bar can be drawn, and lines that do not spoil one."""

import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

from minidl._core.errors import InputError

VARIABLE = "MINIDL_VERBOSE"
# Groups in the order of the colours of a terminal: red, green, yellow. (Compiled when it is used.)
_VERDICTS = (
    r"(?:^[^\n()]+ \()?\b(?:(FAIL_\w+|NONDETERMINISTIC|STATE_\w+|DAMAGED)|(PASS\w*)|(INCONCLUSIVE|VACUOUS))\b\)?"
)


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


class SafeStream:
    """A stream that drops what cannot be written: its terminal is gone, its reader, or the room on the disk.

    Work is worth more than the line that tells of it. Otherwise it is the stream itself, and equals it: so tqdm finds
    the bars that are on one stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write `text`, if that can be done."""
        # A ValueError is of a stream that was closed, or that has no such letters.
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream, if that can be done."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal, as far as it tells: what only copies to a file may not."""
        with suppress(OSError, ValueError, AttributeError):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        return self._stream is other or self._stream == getattr(other, "_stream", None)

    def __hash__(self) -> int:
        return hash(self._stream)


def new_bar(total: int, stream: TextIO, **options: Any) -> Any | None:
    """Return a tqdm bar on `stream`, or None where none can be drawn.

    A terminal gets a line, unless it is a dumb one; a notebook, in place of its standard error, a widget if it has
    ipywidgets. What tqdm takes from the environment, such as ``TQDM_DISABLE``, holds.
    """
    if stream is sys.stderr and in_notebook():
        from tqdm import notebook  # here, as below: importing minidl must stay quick

        drawn = getattr(notebook, "IProgress", None) is not None  # else there is no ipywidgets
        return notebook.tqdm(total=total, **options) if drawn else None
    shown = SafeStream(stream)
    if not shown.isatty() or os.environ.get("TERM") == "dumb":
        return None
    if not _tells_its_size(stream):
        options |= {"ncols": 80, "nrows": 24}
    elif "TQDM_NCOLS" not in os.environ:
        options["dynamic_ncols"] = True
    return _drawn(total, shown, options)


def _drawn(total: int, stream: SafeStream, options: dict[str, Any]) -> Any | None:
    """Return a tqdm bar, or None if standard output or error is gone, which tqdm flushes first."""
    from tqdm import tqdm

    with suppress(OSError, ValueError):
        # Where only tqdm found that out, some of its versions would complain again when the bar is deleted.
        if stream in (sys.stdout, sys.stderr):
            for standard in filter(None, (sys.stdout, sys.stderr)):
                standard.flush()
        return tqdm(total=total, file=stream, **options)
    return None


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
    from tqdm import tqdm

    if verbosity(None) == 1 and sys.stderr is not None:
        if (bar := new_bar(total, sys.stderr, **options)) is not None:
            return bar
        if (bar := _drawn(total, SafeStream(sys.stderr), {"mininterval": 10.0, **options})) is not None:
            return bar
    return tqdm(total=total, disable=True, **options)


def say(line: str, verbose: int | None = None) -> None:
    """Tell the person at the terminal what is going on, above any bars, unless nothing is to be said or can be."""
    if verbosity(verbose) == 0 or sys.stderr is None:
        return
    stream = SafeStream(sys.stderr)
    if (tqdm := sys.modules.get("tqdm")) is not None:
        tqdm.tqdm.write(line, file=stream)
    else:
        print(line, file=stream)
    stream.flush()


def coloured(text: str) -> str:
    """Return a text to print with its verdicts in colour, where standard output is a terminal that shows colours.

    ``NO_COLOR`` forbids colours anywhere, and ``FORCE_COLOR`` allows them anywhere else.
    """
    shows = sys.stdout is not None and SafeStream(sys.stdout).isatty() and os.environ.get("TERM") != "dumb"
    # The consoles of older Windows show the codes instead.
    allowed = os.environ.get("FORCE_COLOR") or (shows and os.name != "nt")
    if os.environ.get("NO_COLOR") or not allowed:
        return text
    return re.sub(_VERDICTS, lambda found: f"\x1b[{30 + (found.lastindex or 0)}m{found[0]}\x1b[0m", text, flags=re.M)


def in_notebook() -> bool:
    """Return whether this program runs in a Jupyter kernel, which has a shell of its own kind.

    Whatever is only installed says nothing, so nothing is imported.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)
