"""Streams to which nothing can be written, as standard error is once its terminal, reader or disk is gone."""

import os
import pty
from contextlib import contextmanager, suppress

KINDS = ["full disk", "no reader", "closed", "hung up"]


@contextmanager
def gone(kind):
    """Yield a text file of such a kind for the time of a with block."""
    place = {"full disk": "/dev/full", "closed": os.devnull}.get(kind)
    if place is None:
        other_end, place = os.pipe() if kind == "no reader" else pty.openpty()
        os.close(other_end)
    # Closing writes once more what could not be written.
    with suppress(OSError), open(place, "w") as file:
        if kind == "closed":
            file.close()
        yield file
