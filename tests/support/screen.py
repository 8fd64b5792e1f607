"""What a person at a terminal sees: a pseudo-terminal, and a screen that obeys its control characters."""

import codecs
import fcntl
import os
import re
import struct
import termios
import threading
from contextlib import contextmanager

CONTROL = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|(.)", re.DOTALL)


class Screen:
    """Lines of so many columns; counts the texts that ran over the end of one.

    Attributes
    ----------
    frames : list of list of str
        What stood there each time that a text was complete: when the cursor was moved after it.
    """

    def __init__(self, columns):
        self.columns = columns
        self.cells = [[]]
        self.row = self.column = self.wraps = 0
        self.frames = [[]]

    def feed(self, text):
        for count, command, moves, character in CONTROL.findall(text):
            if not character and self.lines() != self.frames[-1]:
                self.frames.append(self.lines())
            if command == "A":
                self.row = max(self.row - int(count or 1), 0)
            elif command == "K":
                del self.cells[self.row][self.column :]
            elif command:
                raise AssertionError(f"a control sequence that this screen does not know: {command!r}")
            elif moves == "\r":
                self.column = 0
            elif moves == "\n":
                self.down()
            else:
                self.put(character)

    def down(self):
        self.row += 1
        if self.row == len(self.cells):
            self.cells.append([])

    def put(self, character):
        if self.column == self.columns:
            self.wraps += 1
            self.column = 0
            self.down()
        line = self.cells[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = character
        self.column += 1

    def lines(self):
        """The lines from the first to the last one that is not blank."""
        lines = ["".join(line).rstrip() for line in self.cells]
        while lines and not lines[-1]:
            lines.pop()
        return lines


@contextmanager
def terminal(columns, rows=24):
    """Yield (screen, descriptor of a terminal that shows on it); the screen is complete after the block."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    screen = Screen(columns)

    def read():
        decoder, text = codecs.getincrementaldecoder("utf-8")(), ""
        while True:
            try:
                text += decoder.decode(os.read(ours, 1 << 16))
            except OSError:  # the other side is closed
                return
            cut = re.search(r"(\x1b(\[\d*)?)?$", text).start()  # half a control sequence waits for the rest
            screen.feed(text[:cut])
            text = text[cut:]

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield screen, theirs
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
