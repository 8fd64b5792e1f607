"""Progress bars: how much a program prints, where a bar can be drawn, and lines printed above bars."""

import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

from minidl._core.errors import InputError

VARIABLE = "MINIDL_VERBOSE"
# Groups in the order of a terminal's colour codes: red, green, yellow. (Compiled on first use.)
_VERDICTS = (
    r"(?:^[^\n()]+ \()?\b(?:(FAIL_\w+|NONDETERMINISTIC|STATE_\w+|DAMAGED)|(PASS\w*)|(INCONCLUSIVE|VACUOUS))\b\)?"
)


def verbosity(verbose: int | None) -> int:
    """Return how much to print: 0 nothing, 1 bars, 2 lines; None means ``MINIDL_VERBOSE``, or 1 if that is not set.

    Raises
    ------
    InputError
        If the argument, or ``MINIDL_VERBOSE`` where it is used, is not 0, 1 or 2.
    """
    if verbose is not None:
        if isinstance(verbose, bool) or not isinstance(verbose, int) or not 0 <= verbose <= 2:
            raise InputError(f"verbose: expected 0 (nothing), 1 (a bar) or 2 (lines), got {verbose!r:.80}")
        return verbose
    text = os.environ.get(VARIABLE, "").strip() or "1"
    if text not in ("0", "1", "2"):
        raise InputError(f"environment variable {VARIABLE}: expected 0, 1 or 2, got {text!r:.80}")
    return int(text)


class SafeStream:
    """A stream that ignores write errors: a closed terminal or pipe, or a full disk, must not stop a training run.

    It delegates all else to the stream and compares equal to it, so that tqdm finds all bars on one stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write `text` if possible."""
        # ValueError: the stream is closed, or cannot encode the text.
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal; False if it has no such method."""
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
    """Return a tqdm bar on `stream`, or None where no bar can be drawn.

    On a terminal the bar is a line, unless ``TERM`` is "dumb". In a notebook the bar on standard error is a widget, if
    ipywidgets is installed. Environment variables of tqdm, such as ``TQDM_DISABLE``, take effect.
    """
    if stream is sys.stderr and in_notebook():
        # Imported here, as below, to keep `import minidl` fast.
        from tqdm import notebook

        has_widgets = getattr(notebook, "IProgress", None) is not None
        return notebook.tqdm(total=total, **options) if has_widgets else None
    shown = SafeStream(stream)
    if not shown.isatty() or os.environ.get("TERM") == "dumb":
        return None
    if not _has_size(stream):
        options |= {"ncols": 80, "nrows": 24}
    elif "TQDM_NCOLS" not in os.environ:
        options["dynamic_ncols"] = True
    return _drawn(total, shown, options)


def _drawn(total: int, stream: SafeStream, options: dict[str, Any]) -> Any | None:
    """Return a tqdm bar, or None if standard output or error is closed, since tqdm flushes both."""
    from tqdm import tqdm

    with suppress(OSError, ValueError):
        # Flush them before tqdm does: after a failed start some versions of tqdm warn again when the bar is deleted.
        if stream in (sys.stdout, sys.stderr):
            for standard in filter(None, (sys.stdout, sys.stderr)):
                standard.flush()
        return tqdm(total=total, file=stream, **options)
    return None


def _has_size(stream: TextIO) -> bool:
    """Return whether a terminal reports its size; for a size of 0, common in containers, tqdm would draw nothing."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except (OSError, ValueError, AttributeError):
        return False


def download_bar(total: int, **options: Any) -> Any:
    """Return a tqdm bar on standard error for a task of minutes; without a terminal it is updated every 10 seconds.

    The bar is disabled unless ``MINIDL_VERBOSE`` is 1.
    """
    from tqdm import tqdm

    if verbosity(None) == 1 and sys.stderr is not None:
        if (bar := new_bar(total, sys.stderr, **options)) is not None:
            return bar
        if (bar := _drawn(total, SafeStream(sys.stderr), {"mininterval": 10.0, **options})) is not None:
            return bar
    return tqdm(total=total, disable=True, **options)


def say(line: str, verbose: int | None = None) -> None:
    """Print a line on standard error, above any bars, unless `verbose` is 0 or there is no standard error."""
    if verbosity(verbose) == 0 or sys.stderr is None:
        return
    stream = SafeStream(sys.stderr)
    if (tqdm := sys.modules.get("tqdm")) is not None:
        tqdm.tqdm.write(line, file=stream)
    else:
        print(line, file=stream)
    stream.flush()


def coloured(text: str) -> str:
    """Return `text` with its verdicts in colour if standard output is a terminal that shows colours.

    ``NO_COLOR`` turns colours off everywhere; otherwise ``FORCE_COLOR`` turns them on everywhere.
    """
    shows = sys.stdout is not None and SafeStream(sys.stdout).isatty() and os.environ.get("TERM") != "dumb"
    # Older Windows consoles print the codes instead of colours.
    allowed = os.environ.get("FORCE_COLOR") or (shows and os.name != "nt")
    if os.environ.get("NO_COLOR") or not allowed:
        return text
    return re.sub(_VERDICTS, lambda found: f"\x1b[{30 + (found.lastindex or 0)}m{found[0]}\x1b[0m", text, flags=re.M)


def in_notebook() -> bool:
    """Return whether this program runs in a Jupyter kernel, by the class of its IPython shell.

    Only modules that are already imported are examined: an installed IPython does not mean a notebook.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)
