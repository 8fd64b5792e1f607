"""Verification: whether the numbers of a report come out again, and whether its files agree with each other."""

import argparse
import csv
import hashlib
import html
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

from minidl._core.bars import say
from minidl._core.environment import environment
from minidl._core.errors import DataError
from minidl._storage.kinds import read_regular
from minidl.data.dataset import Dataset
from minidl.lab_report.document import write_report
from minidl.lab_report.job import check_gradients, fit, load_data, standardize
from minidl.lab_report.results import describe_data
from minidl.lab_report.runs import SETTINGS, GradientCheck, Job, Outcome, history_file
from minidl.training.describe import accuracy_error
from minidl.training.history import NOT_METRICS, History

Values = Mapping[str, Any]

# What decides the last bits of a number.
_MACHINE = ("minidl", "NumPy", "processor", "threads")


class Difference(NamedTuple):
    file: str
    number: str
    stated: str
    found: str


class Verification:
    """A report in a folder: how many numbers of each of its files were compared, and which of them differ.

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
        # Files that are as they were written.
        self.intact: set[str] = set()
        self.outcomes: dict[str, Outcome] = {}
        text = read_regular(folder / "results.json").decode(errors="replace")
        with _refused(folder):
            self.results: dict[str, Any] = json.loads(text)
            self.runs = {_title(entry): entry for entry in self.results["settings"]}
            self.checks: list[GradientCheck] = self.results["gradient_check"]
            self.options = argparse.Namespace(**self.results["options"], author=self.results["author"])
            # Data are known by their digest, wherever they are now; "auto" might take others.
            self.options.dataset = "cifar10" if self.results["dataset"]["name"] == "CIFAR-10" else "synthetic"
            if self.options.data_dir and not Path(self.options.data_dir).exists():
                self.options.data_dir = None
            seeds = range(self.options.seed, self.options.seed + self.options.seeds)
            self.asked = {f"{setting.title}, seed {seed}": (setting, seed) for setting in SETTINGS for seed in seeds}
            for title, (setting, seed) in self.asked.items():
                file = history_file(setting, seed, self.options)
                if title in self.runs and (history := _history(folder / file)):
                    self.outcomes[title] = Outcome.from_entry(self.runs[title], setting, history, file)
            stated, here = self.results["environment"], environment()
            self.other_machine = {name: stated.get(name) for name in _MACHINE if stated.get(name) != here[name]}
        # A changed digit may be beyond what the number holds.
        for lines in zip(text.splitlines(), json.dumps(self.results, indent=2).splitlines(), strict=False):
            if lines[0] != lines[1]:
                self._differ("results.json", "text: line", lines[0].strip(), lines[1].strip(), "its value")

    def compare(self, file: str, of: str, stated: Values, found: Values, by: str, near: Values | None = None) -> None:
        """Compare values by name; numbers may differ by what `near` has for the columns of the history they are of."""
        for name in dict.fromkeys([*stated, *found]):
            a, b = stated.get(name), found.get(name)
            self.compared[file] += 1
            tolerance = (near or {}).get(name.split()[0].removeprefix("train_"))
            if a != b and (tolerance is None or a is None or b is None or abs(a - b) > tolerance):
                self._differ(file, f"{of}: {name}", a, b, by)

    def _differ(self, file: str, number: str, stated: Any, found: Any, by: str) -> None:
        """Note a difference between a file and results.json; where the file is as it was written, blame the latter."""
        if by == "results.json" and file in self.intact:
            file, stated, found, by = by, found, stated, file
        self.differences.append(Difference(file, number, str(stated), f"{found} ({by})"))

    def compare_files(self) -> None:
        """Compare the files with each other: each with its digest, and their numbers with those of results.json."""
        for name, digest in self.results["files"].items():
            now = hashlib.sha256(_content(self.folder / name)).hexdigest()
            self.compare(name, "whole file", {"SHA-256": digest}, {"SHA-256": now}, "now")
            self.intact |= {name} if now == digest else set()
        stated, found = ({f"run {n}": title for n, title in enumerate(titles, 1)} for titles in (self.runs, self.asked))
        self.compare("results.json", "settings", stated, found, "its options")
        rows = csv.DictReader(_text(self.folder / "results.csv").splitlines())
        for (title, entry), row in zip(self.runs.items(), rows, strict=False):
            texts = {name: str(value) for name, value in entry.items() if name != "figures"}
            self.compare("results.csv", title, row, texts, "results.json")
        for title, outcome in self.outcomes.items():
            if outcome.history_file in self.intact:
                self.compare("results.json", title, self.runs[title], outcome.entry, outcome.history_file)

    def train_again(self, quick: bool) -> None:
        """Train all settings again, or the quickest run alone, and compare what comes out."""
        data = load_data(self.options)
        recorded, found = self.results["dataset"] | {"source": ""}, describe_data(*data) | {"source": ""}
        if (expected := recorded.pop("sha256", None)) != (got := found.pop("sha256")):
            raise DataError(f"these are not the images of the report: expected SHA-256 {expected}, got {got}")
        self.compare("results.json", "dataset", recorded, found, "the data")
        titles = sorted(self.outcomes, key=lambda title: self.outcomes[title].seconds)[:1] if quick else self.asked
        seconds = sum(self.outcomes[title].seconds for title in titles if title in self.outcomes)
        say(f"Training {len(titles)} of {len(self.asked)} runs again: about {seconds:.0f} s", verbose=1)
        with tempfile.TemporaryDirectory() as self.options.out, redirect_stdout(sys.stderr):
            scaled = standardize(data)
            checks = [] if quick else check_gradients(scaled[0], self.options)
            self.compare_runs(checks, [fit(*self.asked[title], scaled, self.options) for title in titles], data[2])

    def compare_runs(self, checks: list[GradientCheck], outcomes: list[Outcome], test: Dataset) -> None:
        """Compare what came out again with the report; the page is made again, into ``options.out``."""
        for outcome in outcomes:
            title, near = outcome.title, self._near(outcome) if self.other_machine else None
            entry, file = self.runs.get(title, {}), outcome.history_file
            again = outcome.entry | {"seconds": entry.get("seconds")}
            self.compare("results.json", title, entry, again, "re-run", near)
            stated, found = map(_epochs, (_history(self.folder / file), outcome.history))
            self.compare(file, title, stated, found, "re-run", near)
        near = dict.fromkeys(("mean_relative_error", "max_relative_error"), 1e-6) if self.other_machine else None
        for check, other in zip(self.checks, checks, strict=False):
            of = f"gradient check of {check['parameter']}, λ = {check['lambda']:g}"
            self.compare("results.json", of, check, other, "re-run", near)
        if checks and not self.other_machine:
            self._compare_page(checks, outcomes, test)
        # What was not trained again is taken from the other files, unless it is known that they are wrong.
        elif {d.file for d in self.differences} <= {"report.html", "report.md"} and "minidl" not in self.other_machine:
            self._compare_page(self.checks, [*self.outcomes.values()], test)

    def _compare_page(self, checks: list[GradientCheck], outcomes: list[Outcome], test: Dataset) -> None:
        """Make the page again, and compare the words of its sections with those of the report."""
        with _refused(self.folder):
            command, date, machine, data = (self.results[x] for x in ("command", "date", "environment", "dataset"))
            page, _ = write_report(Job(self.options, command, date, machine, data, test), checks, outcomes)
            stated, found = (_words(_text(path)) for path in (self.folder / page.name, page))
        for section, words in found.items():
            others = stated.get(section, [])
            self.compared[page.name] += sum(any(map(str.isdigit, word)) for word in words)
            for kind, a, b, c, d in SequenceMatcher(None, others, words, autojunk=False).get_opcodes():
                if kind != "equal":
                    place = f'{section}, after "{" ".join(others[max(0, a - 6) : a])}"'
                    self._differ(page.name, place, " ".join(others[a:b]), " ".join(words[c:d]), "results.json")

    def _near(self, outcome: Outcome) -> dict[str, float]:
        """Return how far the numbers of a run may differ on another kind of machine.

        Accuracies by three standard errors, others by 1 %; or else by as much as the second half of the curve varies:
        where it never settles, the last bits decide where it ends.
        """
        near, history = {"weight_norm": 0.01 * outcome.weight_norm}, outcome.history
        for column in (column for column in history.columns if column not in NOT_METRICS):
            late = history[column][len(history) // 2 :]
            error = 0.01 * abs(late[-1])
            if column.endswith("accuracy"):
                error = 3 * accuracy_error(late[-1], self.results["dataset"]["test_images"])
            near[column] = max(error, max(late) - min(late))
        return near | {"test_accuracy": near["val_accuracy"]}


def _words(page: str) -> dict[str, list[str]]:
    """Return the words of each section of a page, with those that stand for its pictures or name its cells."""
    page = re.sub('(?s)<style.*?</style>|<ul class="contents">.*?</ul>|</?(?:span|a|b)( [^>]*)?>', "", page)
    title, *rest = re.split("<h2[^>]*>(.*?)</h2>", page)
    texts = {"beginning": title} | dict(zip(rest[::2], rest[1::2], strict=True))
    tag = r'<[^>]*? (?:alt|aria-label|data-label)="([^"]*)"[^>]*>|<[^>]*>'
    return {section: html.unescape(re.sub(tag, r" \1 ", text)).split() for section, text in texts.items()}


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """Blame results.json for what its values lead to."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        file, remedy = folder / "results.json", "make the report again"
        raise DataError(f"{file}: not what this version of `minidl report` writes ({error!r}); {remedy}") from None


def _title(entry: Values) -> str:
    return f"λ = {entry['lambda']:g}, η = {entry['eta']:g}, seed {entry['seed']}"


def _history(path: Path) -> History:
    """Return the history in a file, an empty one if it is missing or damaged."""
    with suppress(DataError):
        return History.from_csv(path)
    return History()


def _epochs(history: History) -> dict[str, float]:
    """Return the numbers of a history but for the seconds."""
    rows = history.rows
    return {f"{name} of epoch {row['epoch']}": v for row in rows for name, v in row.items() if name != "seconds"}


def _content(path: Path) -> bytes:
    with suppress(DataError):
        return read_regular(path)
    return b""


def _text(path: Path) -> str:
    return _content(path).decode(errors="replace")
