"""verify: whether the numbers that a report states come out again, and whether its files agree with each other."""

import argparse
import csv
import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import minidl as dl
from minidl._core.bars import say
from minidl._core.environment import environment
from minidl._core.errors import DataError
from minidl._core.tables import escape
from minidl._storage.kinds import read_regular
from minidl.lab_report.job import fit, load_data, run
from minidl.lab_report.results import describe_data
from minidl.lab_report.runs import SETTINGS, Setting
from minidl.lab_report.summary import spread
from minidl.training.describe import accuracy_error
from minidl.training.history import History

_NUMBER = r"[-\N{MINUS SIGN}+]?\d[\d,]*(?:\.\d+)?(?:e[-\N{MINUS SIGN}+]?\d+)?"
# What decides the last bits of a number.
_MACHINE = ("minidl", "NumPy", "processor", "threads")
_Values = Mapping[str, Any]


class Difference(NamedTuple):
    file: str
    number: str
    stated: str
    found: str


class Verification:
    """How many numbers of each file of a report were compared, and which of them differ.

    Parameters
    ----------
    folder : Path
        Where `minidl report` wrote.

    Raises
    ------
    DataError
        If results.json is missing, damaged or of an older version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared: Counter[str] = Counter()
        self.differences: list[Difference] = []
        path = folder / "results.json"
        try:
            self.results = json.loads(read_regular(path))
            self.options = argparse.Namespace(**self.results["options"], author=self.results["author"])
            # Settings by title, with their numbers; what is not there is an error here already.
            self.runs = {_title(entry): entry for entry in self.results["settings"]}
            self.sizes = [self.results["dataset"][f"{part}_images"] for part in ("training", "validation", "test")]
            self.other_machine = {
                name: (self.results["environment"][name], here)
                for name, here in environment().items()
                if name in _MACHINE and here != self.results["environment"][name]
            }
        except KeyError as error:
            raise DataError(f"{path}: no {error}; it is of an older version of minidl, make the report again") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{path}: expected what `minidl report` writes ({error}); make the report again") from None

    def compare(
        self, file: str, of: str, stated: _Values, found: _Values, by: str, near: _Values | None = None
    ) -> None:
        """Compare values by name; numbers may differ by what `near` has for the first word of their names."""
        for name in dict.fromkeys([*stated, *found]):
            a, b = stated.get(name), found.get(name)
            self.compared[file] += 1
            numbers = near is not None and isinstance(a, int | float) and isinstance(b, int | float)
            if a != b and not (numbers and abs(a - b) <= near.get(name.split()[0], 0)):
                self.differences.append(Difference(file, f"{of}: {name}", f"{a}", f"{b} ({by})"))

    def compare_texts(self, file: str, stated: list[str], found: list[str]) -> None:
        """Compare texts one by one; of each that differs name the first number that does."""
        self.compare(file, "the page", {"texts": len(stated)}, {"texts": len(found)}, "re-run")
        for one, other in zip(stated, found, strict=False):
            numbers = [[*re.finditer(_NUMBER, text), *re.finditer("(?s).*", text)] for text in (one, other)]
            self.compared[file] += len(numbers[0]) - 1
            if one != other and len(stated) == len(found):
                a, b = next(pair for pair in zip(*numbers, strict=False) if pair[0][0] != pair[1][0])
                place = one[max(a.start() - 40, 0) : a.start() + 40]
                self.differences.append(Difference(file, f'in "{place}"', a[0], f"{b[0]} (re-run)"))
