"""How a program ends: its answer, what became of it as an exit status, and what went wrong in a sentence."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NamedTuple

from minidl._core.errors import MinidlError
from minidl.training.history import for_json


class Answer(NamedTuple):
    """What a command comes to: a document for programs, the same as a text for people, and whether all is well."""

    document: Any
    text: str = ""
    good: bool = True


def exit_status(program: Callable[[], int | None]) -> int:
    """Run `program` and return its exit status: 1 after an error made on purpose, 130 after Ctrl-C."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without Greek letters shows a question mark.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = program() or 0
        # Standard output may have been closed.
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads has seen enough.
        with suppress(BrokenPipeError):
            # Else Python tries once more, and complains.
            sys.stdout.close()
        return 1
    except (MinidlError, OSError, MemoryError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def print_json(document: Any) -> None:
    """Print a document in strict JSON; what that has no number for is "NaN", "Infinity" or "-Infinity"."""
    print(json.dumps(for_json(document), indent=2, allow_nan=False))
