"""The end of a program: its result, its exit status, and its error message."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NamedTuple

from minidl._core.errors import MinidlError
from minidl.training.history import for_json


class CommandResult(NamedTuple):
    """The result of a command: a document for programs, the same as a text for people, and whether it succeeded."""

    document: Any
    text: str = ""
    good: bool = True


def exit_status(program: Callable[[], int | None]) -> int:
    """Run `program` and return its exit status: 1 after an error raised on purpose, 130 after Ctrl-C."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot show Greek letters shows question marks.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = program() or 0
        # Standard output may be closed.
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        with suppress(BrokenPipeError):
            # Otherwise Python tries again at exit and prints an error.
            sys.stdout.close()
        return 1
    except (MinidlError, OSError, MemoryError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def print_json(document: Any) -> None:
    """Print a document in strict JSON; non-finite numbers become "NaN", "Infinity" or "-Infinity"."""
    print(json.dumps(for_json(document), indent=2, allow_nan=False))
