"""Check the gradient of a layer, loss, regularizer or model of yours against numerical derivatives.

SUBJECT is MODULE:NAME or FILE.py:NAME, where NAME is a function without arguments, or what it would return:
  a Layer, Loss, Regularizer or Model, of which --input-shape says what it is given; or
  (layer, x), (loss, outputs, targets), (regularizer, w), (model, x, y).

The module is imported, which runs it; modules are looked for in the current folder first.

Several subjects give a table with the points of each. Each then runs in a process of its own, which ends after
--max-seconds. With --reference, a subject must also compute what the reference computes, and is refused if it inherits
or imports the reference or differentiates numerically.

examples:
  minidl checkgrad layers.py:make_scale --input-shape 5
  minidl checkgrad mypackage.losses:example_loss --json
  minidl checkgrad alice.py:make bob.py:make --reference solution.py:make --input-shape 5

exit status 1 if a gradient, the contract or the comparison with the reference is wrong
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import minidl as dl
from minidl._core.tables import text_table
from minidl.cli.ending import Answer
from minidl.cli.submission import HAS_HYPOTHESIS, error_text, graded, with_points
from minidl.lab_report.options import count

HELP = "check the gradient of a class of your own"

# Of each of several subjects.
_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subjects", nargs="+", metavar="SUBJECT", help="MODULE:NAME or FILE.py:NAME")
    shape_help = "of one row of the input, such as 5 or 32,32,3 (of a regularizer: of the weight)"
    parser.add_argument("--input-shape", type=sizes, metavar="N[,N...]", help=shape_help)
    parser.add_argument("--reference", metavar="SUBJECT", help="a right one, with which each subject is compared")
    parser.add_argument("--max-seconds", type=count(1), metavar="N", help=f"for a subject; of several: {_SECONDS}")
    parser.add_argument("--seed", type=count(0), default=0, metavar="N", help="of all that is drawn; default: 0")
    parser.add_argument("--every-entry", action="store_true", help="compare every entry, also of large tensors")


def run(options: argparse.Namespace) -> Answer:
    for name in filter(None, (*options.subjects, options.reference)):
        if not all(name.rpartition(":")):
            options.parser.error(f"argument SUBJECT: expected MODULE:NAME or FILE.py:NAME, got {name!r}")
    if not HAS_HYPOTHESIS:
        print('No contract checks: they need Hypothesis (pip install "minidl[test]").', file=sys.stderr)
    if len(options.subjects) > 1:
        documents = [_graded_apart(name, options) for name in options.subjects]
        rows = [(one["submission"], *one["points"].values(), *[*one["reasons"].values(), ""][:1]) for one in documents]
        header = ["submission", *documents[0]["points"], "reason"]
        return Answer(documents, text_table(header, rows), all(one["ok"] for one in documents))
    try:
        document, text = graded(name := options.subjects[0], options)
        return Answer(document, text, document["ok"])
    # Also an exit, which may claim success.
    except (Exception, SystemExit) as error:
        reason = error_text(error).removeprefix(f"{name}: ")
        if options.json:
            return Answer(with_points(name, {"run": reason}, options), good=False)
        raise dl.InputError(f"{name}: {reason}") from error


def _graded_apart(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the document of a subject from a process of its own: prints, crashes and endless loops stay there."""
    seconds = options.max_seconds or _SECONDS
    command = [sys.executable, "-P", "-m", "minidl", "checkgrad", name, "--json", f"--seed={options.seed}"]
    command += [f"--max-seconds={max(1, seconds // 2)}", *["--every-entry"] * options.every_entry]
    command += [f"--reference={options.reference}"] if options.reference else []
    command += [f"--input-shape={','.join(map(str, options.input_shape))}"] if options.input_shape else []
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, **streams, errors="replace", timeout=seconds)
        # What programs that it started have printed comes before or after.
        return dict(json.JSONDecoder().raw_decode(done.stdout[done.stdout.find("{") :])[0])
    except subprocess.TimeoutExpired:
        reason = f"stopped after {seconds} s; if it is only slow, raise --max-seconds"
    except ValueError:
        reason = f"it ended the process, with status {done.returncode}"
    return with_points(name, {"run": reason}, options)


def sizes(text: str) -> tuple[int, ...]:
    """Return the shape that a text such as 32,32,3 or 32x32x3 says."""
    return tuple(map(count(1), text.replace("x", ",").split(",")))
