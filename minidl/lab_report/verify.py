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
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minidl as dl
from minidl._core.bars import say
from minidl._core.environment import environment
from minidl._core.errors import DataError
from minidl._storage.kinds import read_regular
from minidl.lab_report.job import fit, load_data, run
from minidl.lab_report.results import describe_data
from minidl.lab_report.runs import SETTINGS
from minidl.lab_report.summary import spread
from minidl.training.describe import accuracy_error
from minidl.training.history import History

Values = Mapping[str, Any]

_MADE = ("title", "author", "date", "command")
_OPTIONS = {"data_dir", "epochs", "seed", "seeds", "quick"}
_KEYS = {*_MADE, "options", "environment", "dataset", "gradient_check", "settings", "files"}
# What decides the last bits of a number.
_MACHINE = ("minidl", "NumPy", "processor", "threads")
_NUMBER = r"[-\N{MINUS SIGN}+]?\d[\d,]*(?:\.\d+)?(?:e[-\N{MINUS SIGN}+]?\d+)?"


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
        path = folder / "results.json"
        try:
            text = read_regular(path).decode()
            self.results: dict[str, Any] = json.loads(text)
            if missing := _KEYS - self.results.keys() or _OPTIONS - self.results["options"].keys():
                raise DataError(f"{path}: no {', '.join(missing)}; an older version wrote it, so make the report again")
            self.runs = {_title(entry): entry for entry in self.results["settings"]}
            self.options = argparse.Namespace(**self.results["options"], author=self.results["author"])
            # Data are known by their digest, wherever they are now; "auto" might take others.
            self.options.dataset = "cifar10" if self.results["dataset"]["name"] == "CIFAR-10" else "synthetic"
            if self.options.data_dir and not Path(self.options.data_dir).exists():
                self.options.data_dir = None
            seeds = range(self.options.seed, self.options.seed + self.options.seeds)
            self.asked = {f"{setting.title}, seed {seed}": (setting, seed) for setting in SETTINGS for seed in seeds}
            self.seconds = {title: float(self.runs[title]["seconds"]) for title in self.asked if title in self.runs}
            self.made = _made(self.results)
            self.in_tables = self._in_tables()
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise DataError(f"{path}: not what `minidl report` writes ({error!r}); make the report again") from None
        # A changed digit may be beyond what the number holds.
        for lines in zip(text.splitlines(), json.dumps(self.results, indent=2).splitlines(), strict=False):
            if lines[0] != lines[1]:
                self.compare(path.name, "text", {"line": lines[0].strip()}, {"line": lines[1].strip()}, "its value")
        here = environment()
        self.other_machine = {name: self.made.get(name) for name in _MACHINE if self.made.get(name) != here[name]}

    def compare(self, file: str, of: str, stated: Values, found: Values, by: str, near: Values | None = None) -> None:
        """Compare values by name; numbers may differ by what `near` has for the first word of their names."""
        for name in dict.fromkeys([*stated, *found]):
            a, b = stated.get(name), found.get(name)
            self.compared[file] += 1
            tolerance = (near or {}).get(name.split()[0])
            if a == b or not (tolerance is None or a is None or b is None or abs(a - b) > tolerance):
                continue
            if file in self.intact and by == "results.json":
                self.differences.append(Difference(by, f"{of}: {name}", str(b), f"{a} ({file})"))
            else:
                self.differences.append(Difference(file, f"{of}: {name}", str(a), f"{b} ({by})"))

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
            history, ends = _epochs(self._history(entry, self.folder)), {"epochs": self.options.epochs}
            for name in (name for name in entry if name.startswith(("train_", "val_"))):
                ends[name] = history.get(f"{name.removeprefix('train_')} of epoch {self.options.epochs}")
            self.compare("results.json", title, {name: entry[name] for name in ends}, ends, "history and options")
        page = _text(self.folder / "report.html")
        said, numbers = "\n".join(visible_texts(page)), page_numbers(page)
        shown = {name: text if text in said else None for name, text in self.made.items()}
        self.compare("report.html", "how it was made", shown, self.made, "results.json")
        stated = {name: numbers.get(name, "") for name in self.in_tables}
        rounded = {name: _rounded(value, stated[name]) for name, value in self.in_tables.items()}
        self.compare("report.html", "table", stated, rounded, "results.json")

    def train_again(self, quick: bool) -> None:
        """Train all settings again, or the quickest run alone, and compare what comes out."""
        data = load_data(self.options)
        recorded, found = self.results["dataset"] | {"source": ""}, describe_data(*data) | {"source": ""}
        if (expected := recorded.pop("sha256", None)) != (got := found.pop("sha256")):
            raise DataError(f"these are not the images of the report: expected SHA-256 {expected}, got {got}")
        self.compare("results.json", "dataset", recorded, found, "the data")
        titles = sorted(self.seconds, key=self.seconds.__getitem__)[: 1 if quick else None]
        seconds = sum(self.seconds[title] for title in titles)
        say(f"Training {len(titles)} of {len(self.runs)} runs again: about {seconds:.0f} s", verbose=1)
        with tempfile.TemporaryDirectory() as out, redirect_stdout(sys.stderr):
            options = argparse.Namespace(**vars(self.options) | {"out": out})
            if quick:
                # Figures are drawn of the first seed alone.
                options.seed = None
                scale = dl.Standardizer().fit(data[0].x)
                train, validation, test = (part.map(scale) for part in data)
                accuracy = fit(*self.asked[titles[0]], (train, validation, test), options).test_accuracy
                again: Values = {"settings": [self.runs[titles[0]] | {"test_accuracy": accuracy}]}
            else:
                again = run(options)
            self.compare_runs(again, Path(out))

    def compare_runs(self, again: Values, out: Path) -> None:
        """Compare what `again` and the folder `out` hold with the report; and the page, if all runs were repeated."""
        for other in again["settings"]:
            entry = self.runs.get(_title(other), {})
            stated, found = (_epochs(self._history(other, folder)) for folder in (self.folder, out))
            near = self._near(stated) if self.other_machine else None
            results = [{name: one.get(name) for name in other if name != "seconds"} for one in (entry, other)]
            self.compare("results.json", _title(other), results[0], results[1], "re-run", near)
            self.compare(self._history(other, out).name, _title(other), stated, found, "re-run", near)
        if "gradient_check" not in again:
            return
        near = dict.fromkeys(("mean_relative_error", "max_relative_error"), 1e-6) if self.other_machine else None
        for check, other in zip(self.results["gradient_check"], again["gradient_check"], strict=False):
            of = f"gradient check of {check['parameter']}, λ = {check['lambda']:g}"
            self.compare("results.json", of, check, other, "re-run", near)
        if not self.other_machine:
            # When and on what it was made is compared with results.json.
            made = [*self.made.items(), *_made(again).items()]
            numbers = [page_numbers(_text(folder / "report.html"), made) for folder in (self.folder, out)]
            self.compare("report.html", "text", numbers[0], numbers[1], "re-run")

    def _near(self, history: Values) -> dict[str, float]:
        """Return how far the numbers of a run may differ on another kind of machine.

        Accuracies by three standard errors, others by 1 %; or else by as much as the second half of the curve varies:
        where it never settles, the last bits decide where it ends.
        """
        near = {}
        for column in {name.split()[0] for name in history}:
            values = [value for name, value in history.items() if name.split()[0] == column]
            late = values[len(values) // 2 :]
            error = 0.01 * abs(late[-1])
            if column.endswith("accuracy"):
                error = 3 * accuracy_error(late[-1], self.results["dataset"]["test_images"])
            near[column] = max(error, max(late) - min(late))
        return near | {"test_accuracy": near.get("val_accuracy", 0.0)}

    def _in_tables(self) -> dict[str, float]:
        """Return the numbers that the tables of the page should have, not yet rounded."""
        numbers: dict[str, float] = {}
        for check in self.results["gradient_check"]:
            for name in ("entries", "mean_relative_error", "max_relative_error"):
                numbers[f"λ = {check['lambda']:g}, {check['parameter']}: {name.replace('_', ' ')}"] = check[name]
        for setting in SETTINGS:
            runs = [e for title, e in self.runs.items() if title.startswith(f"{setting.title}, ")]
            # Without runs, after a change, it is said elsewhere that they are missing.
            runs = runs or [*self.runs.values()]
            accuracies = [100 * entry["test_accuracy"] for entry in runs]
            mean, first = float(np.mean(accuracies)), runs[0]
            error = 100 * accuracy_error(mean / 100, self.results["dataset"]["test_images"])
            values = {"test accuracy": mean, "test accuracy, error": spread(accuracies) if len(runs) > 1 else error}
            for part, name in (("training", "train"), ("validation", "val")):
                values[f"{part} loss"] = first[f"{name}_loss"]
                values[f"{part} accuracy"] = 100 * first[f"{name}_accuracy"]
            values["gap"] = first["val_loss"] - first["train_loss"]
            values["penalty"] = first["train_cost"] - first["train_loss"]
            numbers |= {f"{setting.title}: {name}": value for name, value in values.items()}
        return numbers

    def _history(self, entry: Values, folder: Path) -> Path:
        seed = f"-seed-{entry['seed']}" if self.options.seeds > 1 else ""
        return folder / f"history-lambda-{entry['lambda']:g}-eta-{entry['eta']:g}{seed}.csv"


def page_numbers(page: str, names: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the numbers that a page shows: those of tables by row and column, others by the text around them.

    Each of `names` is a name and the text that it replaces first.
    """
    numbers: dict[str, str] = {}
    for row in re.findall("(?s)<tr>.*?</tr>", html.unescape(page).replace("\xa0", " ")):
        cells: dict[str, str] = dict(re.findall('data-label="(.*?)">(.*?)</td>', row))
        of = cells.get("setting") or f"λ = {cells.get('λ')}, {cells.get('parameter')}"
        for label, cell in cells.items():
            numbers |= zip((f"{of}: {label}", f"{of}: {label}, error"), re.findall(_NUMBER, cell), strict=False)
    times: Counter[str] = Counter()
    for text in visible_texts(page):
        # The command contains others of these texts.
        for name, value in sorted(names, key=lambda item: -len(item[1])):
            text = text.replace(value, name) if value else text
        # Of a text without numbers, the text itself.
        for found in re.finditer(f"{_NUMBER}|^\\D+$", text):
            before, after = (re.sub(_NUMBER, "#", part) for part in (text[: found.start()], text[found.end() :]))
            words = f'"{before[-50:]}#{after[:20]}"'
            times[words] += 1
            numbers[f"{words}, {times[words]}"] = found[0]
    return numbers


def visible_texts(page: str) -> list[str]:
    """Return the texts that a page shows, and those that stand for its pictures."""
    page = re.sub("(?s)<style.*?</style>|</?(?:span|a|b)( [^>]*)?>", "", page)
    lines = re.sub(r'<[^>]*? (?:alt|aria-label)="([^"]*)"[^>]*>|<[^>]*>', r"\n\1\n", page).splitlines()
    return [html.unescape(line).replace("\xa0", " ").strip() for line in lines if line.strip()]


def _rounded(value: float, like: str) -> str:
    """Return `value` with as many digits as the number `like` has, and with its signs."""
    mantissa, exponent, _ = like.partition("e")
    text = f"{value:{',' * (',' in like)}.{len(mantissa.partition('.')[2])}{exponent or 'f'}}"
    return text.replace("-", "\N{MINUS SIGN}") if "\N{MINUS SIGN}" in like else text


def _made(results: Values) -> dict[str, str]:
    made = {name: results[name] for name in _MADE} | {"source": results["dataset"]["source"]} | results["environment"]
    return {name: str(text) for name, text in made.items()}


def _title(entry: Values) -> str:
    return f"λ = {entry['lambda']:g}, η = {entry['eta']:g}, seed {entry['seed']}"


def _epochs(path: Path) -> dict[str, float]:
    """Return the numbers of a history but for the seconds; none if it is missing or damaged."""
    with suppress(DataError):
        rows = History.from_csv(path).rows
        return {f"{name} of epoch {row['epoch']}": v for row in rows for name, v in row.items() if name != "seconds"}
    return {}


def _content(path: Path) -> bytes:
    with suppress(DataError):
        return read_regular(path)
    return b""


def _text(path: Path) -> str:
    return _content(path).decode(errors="replace")
