"""Interrupts: delay Ctrl-C and SIGTERM until the run can be saved."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

_WAITING = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A ``with`` block that only records a first SIGINT or SIGTERM; a second one acts at once.

    Nothing changes outside the main thread, where Python allows no handlers, and for a signal that the program
    ignores. A process that is forked inside the block does not wait. The block restores the previous handlers at its
    end.

    Attributes
    ----------
    received : signal number or None
        The signal that was recorded. The code inside the block checks it wherever the run can be saved.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _WAITING:
                handler = signal.getsignal(number)
                # None is a handler that Python did not set and cannot restore.
                if handler not in (signal.SIG_IGN, None):
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A process that was forked inside the block has this handler too, but nothing to save.
        if self.received is None and os.getpid() == self._process:
            self.received = number
        else:
            self.__exit__()
            self._act(number)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def deliver(self) -> None:
        """After the block, do what the recorded signal would have done without it.

        Ctrl-C raises KeyboardInterrupt, which ends a program with status 130. SIGTERM raises SystemExit(143), so that
        the program's own ``finally`` blocks run too. A handler that the program has set is called.
        """
        if self.received is None:
            return
        if self._before[self.received] is signal.SIG_DFL:
            raise SystemExit(128 + self.received)
        self._act(self.received)

    def _act(self, number: int) -> None:
        """Do what the signal would have done: call a handler written in Python, or raise the signal for the system's.

        A loop of asyncio has already received the signal, so raising it again would deliver it twice there.
        """
        handler = self._before[number]
        if callable(handler):
            handler(number, None)
        else:
            signal.raise_signal(number)
