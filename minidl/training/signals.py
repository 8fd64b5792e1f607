"""Interrupts: Ctrl-C and SIGTERM wait until the work is in a state that can be saved."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

_WAITING = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A ``with`` block in which a first SIGINT or SIGTERM is only noted, and a second one acts at once.

    Outside the main thread, where Python allows no handlers, and for a signal that the program ignores, nothing is
    changed, and a process that is forked inside the block does not wait. On leaving the block the handlers of before
    are back.

    Attributes
    ----------
    received : signal number or None
        The signal that was noted. Whoever runs the block asks for it wherever the work can be saved.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _WAITING:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: one that Python did not set and could not put back
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A process that was forked inside the block has this handler too, and nothing to save.
        if self.received is None and os.getpid() == self._process:
            self.received = number
        else:
            self.__exit__()
            self._act(number)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def deliver(self) -> None:
        """After the block, do what the noted signal would have done without it.

        Ctrl-C raises KeyboardInterrupt, with which a program ends as 130. SIGTERM raises SystemExit(143), so that the
        program's own ``finally`` blocks run too. A handler of the program's own is called.
        """
        if self.received is None:
            return
        if self._before[self.received] is signal.SIG_DFL:
            raise SystemExit(128 + self.received)
        self._act(self.received)

    def _act(self, number: int) -> None:
        """Do what the signal would have done; a handler in Python is called, the system's own kind gets the signal.

        Raised anew, the signal would come twice to a loop of asyncio: the system has told it of the first one already.
        """
        handler = self._before[number]
        if callable(handler):
            handler(number, None)
        else:
            signal.raise_signal(number)
