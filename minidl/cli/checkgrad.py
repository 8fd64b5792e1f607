"""Check the gradient of a layer, loss, regularizer or model of yours against numerical derivatives.

SUBJECT is MODULE:NAME or FILE.py:NAME, where NAME is a function without arguments, or what it would return:
  a Layer, Loss, Regularizer or Model, of which --input-shape says what it is given; or
  (layer, x), (loss, outputs, targets), (regularizer, w), (model, x, y).
The module is imported, which runs it; modules are looked for in the current folder first.

Several subjects, or a pattern in quotes such as "*/layer.py:make", give a table with the points of each. Each then
runs in a process of its own, which ends after --max-seconds. With --reference, a subject must also compute what the
reference computes, and is refused if it inherits or imports the reference or differentiates numerically.

examples:
  minidl checkgrad layers.py:make_scale --input-shape 5
  minidl checkgrad mypackage.losses:example_loss --json
  minidl checkgrad alice.py:make bob.py:make --reference solution.py:make --input-shape 5

exit status 1 if a gradient, the contract or the comparison with the reference is wrong
"""

import argparse
import copy
import json
import os
import subprocess
import sys
from contextlib import suppress
from glob import glob
from typing import Any, NoReturn

import numpy as np

import minidl as dl
from minidl._core.tables import text_table
from minidl.cli.ending import Answer
from minidl.cli.reference import borrowed, difference
from minidl.cli.submission import CHECKS, HAS_HYPOTHESIS, Submission, blamed, drawn, load, load_aside
from minidl.lab_report.options import count

HELP = "check the gradient of a class of your own"

# Of each of several subjects.
_SECONDS = 60
# Of what is drawn: the first is checked, and all are compared with a reference. A single row has no variance.
_ROWS = (4, 2, 3, 8)
# It searches where this process does: `python -c` alone would import any copy.py of the current folder.
_CHILD = "import sys; sys.path[:] = sys.argv[2:]; from minidl.cli.checkgrad import send; send(sys.argv[1])"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subjects", nargs="+", metavar="SUBJECT", help="MODULE:NAME or FILE.py:NAME")
    shape_help = "of one row of the input, such as 5 or 32,32,3 (of a regularizer: of the weight)"
    parser.add_argument("--input-shape", type=_shape, metavar="N[,N...]", help=shape_help)
    parser.add_argument("--reference", metavar="SUBJECT", help="a right one, with which each subject is compared")
    limit_help = f"after which a subject is stopped; default, if there are several: {_SECONDS}"
    parser.add_argument("--max-seconds", type=count(1), metavar="N", help=limit_help)
    parser.add_argument("--seed", type=count(0), default=0, metavar="N", help="of all that is drawn; default: 0")
    parser.add_argument("--every-entry", action="store_true", help="compare every entry, also of large tensors")


def run(options: argparse.Namespace) -> Answer:
    for name in filter(None, (*options.subjects, options.reference)):
        if not all(name.rpartition(":")):
            options.parser.error(f"argument SUBJECT: expected MODULE:NAME or FILE.py:NAME, got {name!r}")
    if not HAS_HYPOTHESIS:
        print('No contract checks: they need Hypothesis (pip install "minidl[test]").', file=sys.stderr)
    patterns = [name.rpartition(":") for name in options.subjects]
    names = [f"{path}:{name}" for pattern, _, name in patterns for path in sorted(glob(pattern)) or [pattern]]
    alone = names == options.subjects[:1]
    if alone and options.max_seconds is None:
        documents = [_graded(names[0], options)]
    else:
        if options.reference:
            # A fault of the reference is none of the submissions.
            load_aside(options.reference)
        documents = [_graded_apart(name, options) for name in names]
    (text, *_) = [document.pop("text", "") for document in documents]
    (reason, *_) = reasons = [next(iter(document["reasons"].values()), "") for document in documents]
    if not alone:
        points = [[f"{point}/1" for point in document["points"].values()] for document in documents]
        rows = [(name, *own, reason) for name, own, reason in zip(names, points, reasons, strict=True)]
        return Answer(documents, text_table(["submission", *documents[0]["points"], "reason"], rows), not any(reasons))
    if not text:
        raise dl.InputError(f"{names[0]}: {reason}")
    return Answer(documents[0], text, not reason)


def send(arguments: str) -> None:
    """Do what `_graded_apart` asks for, in the process that it starts."""

    def refuse(message: str) -> NoReturn:
        raise dl.InputError(message)

    channel = os.dup(1)
    # What is printed, also by programs that the submission starts, goes where standard error goes.
    os.dup2(2, 1)
    name, plain = json.loads(arguments)
    try:
        document = _graded(name, argparse.Namespace(**plain, parser=argparse.Namespace(error=refuse)))
    except BaseException as error:
        kind = "" if isinstance(error, dl.InputError) else f"{type(error).__name__}: "
        document = {"reasons": {"run": kind + str(error).removeprefix(f"{name}: ")}}
    os.write(channel, f"{json.dumps(document)}\n".encode())
    # Without what the submission has left for the end.
    os._exit(0)


def _graded_apart(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what `_graded` does, in a process of its own: prints, changes, crashes and endless loops stay there."""
    plain = {key: value for key, value in vars(options).items() if key != "parser"}
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps([name, plain]), *sys.path]
    seconds = options.max_seconds or _SECONDS
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **streams) as process:
        try:
            output = process.communicate(timeout=seconds)[0]
            reason = f"it ended the process, with status {process.returncode}"
        except subprocess.TimeoutExpired as error:
            output, reason = error.output or b"", f"stopped after {seconds} s; if it is only slow, raise --max-seconds"
        finally:
            # With the programs that it has started, where there are groups of processes.
            with suppress(OSError):
                getattr(os, "killpg", os.kill)(process.pid, 9)
    points = dict.fromkeys(["gradient", "contract", *(["reference"] if options.reference else [])], 0)
    failed = {"submission": name, "ok": False, "points": points, "reasons": {"run": reason}}
    return failed | (json.loads(output) if output.endswith(b"\n") else {})


def _graded(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the report of a subject, with a point for each part that is right, and the reasons for those missing."""
    if HAS_HYPOTHESIS:
        # Before the folder of the submission is searched first.
        import minidl.testing  # noqa: F401
    reference = load_aside(options.reference) if options.reference else None
    submission = load(name)
    asked = reference or submission
    if submission.kind is not asked.kind:
        wanted = f"a {asked.kind.__name__}, as the reference is"
        raise dl.InputError(f"{name}: expected {wanted}, got a {submission.kind.__name__}")
    shape = None if asked.inputs else options.input_shape
    batches = [asked.inputs or submission.inputs]
    if shape is not None:
        rng = np.random.default_rng(options.seed)
        with blamed(name):
            batches = [drawn(asked.subject, shape, rng, rows) for rows in _ROWS]
    if not batches[0]:
        options.parser.error(f"argument --input-shape: needed, as {name} says not what it is given")
    if reference and (why := borrowed(reference, submission, batches[0])):
        raise dl.InputError(f"{name}: refused: {why}")
    report = _report(submission, batches[0], options)
    broken = report.verdict in (dl.Verdict.FAIL_CONTRACT, dl.Verdict.STATE_CHANGED)
    # Some rules are checked before any values are, the others after all of these were right.
    points = {"gradient": int(report.ok or (broken and report.compared > 0)), "contract": int(report.ok)}
    reasons, said = {}, [str(report)]
    if not report.ok:
        finding = report.findings[0] if report.findings else report.verdict.value
        reasons["contract" if broken else "gradient"] = f"{report.verdict.name}: {finding}"
    elif why := _broken_contract(submission, batches[0], shape):
        points["contract"], reasons["contract"] = 0, why
        said.append(f"contract: {why}")
    if reference:
        with blamed(name):
            why = difference(reference, submission, batches)
        points["reference"] = int(not why)
        reasons |= {"reference": why} if why else {}
        said.append(f"reference: {why or 'forward and every gradient agree'}")
    graded = {"submission": name, "ok": not reasons, "points": points, "reasons": reasons, "text": "\n".join(said)}
    return report.to_dict() | graded


def _report(submission: Submission, inputs: list[Any], options: argparse.Namespace) -> dl.GradientReport:
    given = {"seed": options.seed, "every_entry": options.every_entry}
    if options.max_seconds:
        given["max_seconds"] = options.max_seconds / 2
    with blamed(submission.name):
        try:
            return CHECKS[submission.kind](submission.subject, *inputs, **given)
        except TypeError as error:
            # The call itself raised it: the checks turn what a subject raises into findings.
            raise dl.InputError(f"{submission.name}: a tuple of {len(inputs) + 1} does not fit: {error}") from None


def _broken_contract(submission: Submission, inputs: list[Any], shape: tuple[int, ...] | None) -> str:
    """Return the first rule of its kind that the object breaks, "" if none; rows are drawn only where they may be."""
    if not HAS_HYPOTHESIS:
        return ""
    from minidl import testing

    make, kind = lambda: copy.deepcopy(submission.subject), submission.kind
    try:
        with blamed(submission.name):
            if kind is dl.Layer and shape:
                testing.check_layer_contract(make, shape)
            elif kind is dl.Regularizer and shape:
                testing.check_regularizer_contract(make, shape)
            elif kind is dl.Loss:
                testing.check_loss_contract(make, *inputs)
    except dl.MinidlError as error:
        return " ".join(str(error).split())[:300]
    return ""


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers from 1 on with commas between, got {text!r}")
    return shape
