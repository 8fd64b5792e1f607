"""Check the gradient of a layer, loss, regularizer or model of yours against numerical derivatives.

SUBJECT is MODULE:NAME or FILE.py:NAME. NAME is an object, or a function without arguments that returns it:
  a Layer, Loss, Regularizer or Model, which gets random input of --input-shape; or
  (layer, x), (loss, outputs, targets), (regularizer, w), (model, x, y).

The module is imported, which runs it; the current folder is searched first.

With several subjects, the command prints a table with the points of each. Each subject then runs in its own process,
which is stopped after --max-seconds. With --reference, a subject must also compute the same as the reference; it is
refused if it imports or inherits the reference or differentiates numerically.

examples:
  minidl checkgrad layers.py:make_scale --input-shape 5
  minidl checkgrad mypackage.losses:example_loss --json
  minidl checkgrad alice.py:make bob.py:make --reference solution.py:make --input-shape 5

exit status: 1 if a gradient, the contract or the comparison with the reference is wrong
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import minidl as dl
from minidl._core.tables import text_table
from minidl.cli.ending import CommandResult
from minidl.cli.submission import HAS_HYPOTHESIS, error_text, graded, with_points
from minidl.lab_report.options import count

HELP = "check the gradient of your own class"

# The default limit for each of several subjects.
_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subjects", nargs="+", metavar="SUBJECT", help="MODULE:NAME or FILE.py:NAME")
    shape_help = "shape of one row of the input, such as 5 or 32,32,3; for a regularizer, shape of the weight"
    parser.add_argument("--input-shape", type=sizes, metavar="N[,N...]", help=shape_help)
    parser.add_argument("--reference", metavar="SUBJECT", help="a correct one, to compare each subject with")
    parser.add_argument("--max-seconds", type=count(1), metavar="N", help=f"limit per subject; of several: {_SECONDS}")
    parser.add_argument("--seed", type=count(0), default=0, metavar="N", help="of all random numbers; default: 0")
    parser.add_argument("--every-entry", action="store_true", help="compare every entry, even of large tensors")


def run(options: argparse.Namespace) -> CommandResult:
    for name in filter(None, (*options.subjects, options.reference)):
        if not all(name.rpartition(":")):
            options.parser.error(f"argument SUBJECT: expected MODULE:NAME or FILE.py:NAME, got {name!r}")
    if not HAS_HYPOTHESIS:
        print('Contract checks are skipped: they need Hypothesis (pip install "minidl[test]").', file=sys.stderr)
    if len(options.subjects) > 1:
        documents = [_graded_apart(name, options) for name in options.subjects]
        rows = [(one["submission"], *one["points"].values(), *[*one["reasons"].values(), ""][:1]) for one in documents]
        header = ["submission", *documents[0]["points"], "reason"]
        return CommandResult(documents, text_table(header, rows), all(one["ok"] for one in documents))
    try:
        document, text = graded(name := options.subjects[0], options)
        return CommandResult(document, text, document["ok"])
    # SystemExit too: the user's code may exit with status 0.
    except (Exception, SystemExit) as error:
        reason = error_text(error).removeprefix(f"{name}: ")
        if options.json:
            return CommandResult(with_points(name, {"run": reason}, options), good=False)
        raise dl.InputError(f"{name}: {reason}") from error


def _graded_apart(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the document of a subject, checked in its own process: prints, crashes and endless loops stay there."""
    seconds = options.max_seconds or _SECONDS
    command = [sys.executable, "-P", "-m", "minidl", "checkgrad", name, "--json", f"--seed={options.seed}"]
    command += [f"--max-seconds={max(1, seconds // 2)}", *["--every-entry"] * options.every_entry]
    command += [f"--reference={options.reference}"] if options.reference else []
    command += [f"--input-shape={','.join(map(str, options.input_shape))}"] if options.input_shape else []
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, **streams, errors="replace", timeout=seconds)
        # Other programs that it started may have printed before or after the document.
        return dict(json.JSONDecoder().raw_decode(done.stdout[done.stdout.find("{") :])[0])
    except subprocess.TimeoutExpired:
        reason = f"stopped after {seconds} s; if the code is just slow, increase --max-seconds"
    except ValueError:
        reason = f"it ended the process with exit status {done.returncode}"
    return with_points(name, {"run": reason}, options)


def sizes(text: str) -> tuple[int, ...]:
    """Return the shape written as 32,32,3 or 32x32x3."""
    return tuple(map(count(1), text.replace("x", ",").split(",")))
