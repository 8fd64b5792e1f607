"""Progress bars: how talkative a program is, and where a bar can be drawn."""

import os
from typing import Any, TextIO

from minidl.checks import as_count
from minidl.errors import InputError

VARIABLE = "MINIDL_VERBOSE"


def verbosity(verbose: int | None) -> int:
    """Return how much to say: 0 nothing, 1 bars, 2 a line now and then; None asks the environment, then takes 1.

    Raises
    ------
    InputError
        If the argument, or ``MINIDL_VERBOSE`` where it counts, is not 0, 1 or 2.
    """
    if verbose is not None:
        if as_count("verbose", verbose, 0) > 2:
            raise InputError(f"verbose: expected 0 (nothing), 1 (a bar) or 2 (lines), got {verbose!r}")
        return int(verbose)
    text = os.environ.get(VARIABLE, "").strip() or "1"
    if text not in ("0", "1", "2"):
        raise InputError(f"the environment variable {VARIABLE}: expected 0, 1 or 2, got {text!r:.80}")
    return int(text)


def new_bar(total: int, stream: TextIO, **options: Any) -> Any | None:
    """Return a tqdm bar on `stream`, or None where none can be drawn: no terminal."""
    if not stream.isatty():
        return None
    from tqdm import tqdm  # here: importing minidl must stay quick

    return tqdm(total=total, file=stream, dynamic_ncols=True, **options)
