"""The progress of a sweep: one bar, or one line per trial."""

import sys
from typing import Any

from minidl._core.bars import new_bar, say, verbosity
from minidl.sweeps.trial import Trial


class Progress:
    """A bar on a terminal or in a notebook (verbose 1), else a line per finished trial (1 and 2), or nothing (0).

    Parameters
    ----------
    verbose : 0, 1, 2 or None
        None means the environment variable MINIDL_VERBOSE, or 1 if that is not set.
    """

    def __init__(self, verbose: int | None) -> None:
        self.verbose = verbosity(verbose)
        self.total = self.done = self.failed = 0
        self._bar: Any = None

    def expect(self, trials: int, known: int) -> None:
        """Add a round of `trials` trials, of which `known` are done already."""
        self.total += trials
        self.done += known
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(known)
        elif self.verbose == 1 and sys.stderr is not None:
            self._bar = new_bar(self.total, sys.stderr, desc="sweep", unit="trial", initial=self.done)
        if known and self._bar is None:
            say(f"{known} of {trials} trials were done before", self.verbose)

    def show(self, trial: Trial) -> None:
        """Show a finished trial."""
        self.done += 1
        self.failed += not trial.ok
        if self._bar is None:
            say(f"trial {self.done}/{self.total}  {trial}  {trial.seconds:.1f} s", self.verbose)
            return
        if not trial.ok:
            self._bar.set_postfix_str(f"{self.failed} failed", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
