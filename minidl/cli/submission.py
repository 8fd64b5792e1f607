"""What MODULE:NAME or FILE.py:NAME of a user's own code stands for, its check, and its comparison with a reference."""

import argparse
import copy
import importlib.util
import runpy
import sys
import traceback
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import minidl as dl
from minidl._core.spelling import nearest
from minidl._core.types import Array
from minidl.gradcheck.expect import close
from minidl.gradcheck.probing import attempt, collect, fail
from minidl.gradcheck.subjects import CostSubject, LayerSubject, Subject, of_loss, of_regularizer

_KINDS = (dl.Layer, dl.Loss, dl.Regularizer, dl.Model)
_CHECKS: tuple[Any, ...] = (dl.check_layer, dl.check_loss, dl.check_regularizer, dl.check_model)
# Without it there is no minidl.testing.
HAS_HYPOTHESIS = importlib.util.find_spec("hypothesis") is not None
# Of what is drawn: the first is checked, and all are compared with a reference. A single row has no variance.
_ROWS = (4, 2, 3, 8)
# What consists of other objects forbids none of them.
_COMPOSED = (dl.Sequential, dl.Residual, dl.Parallel, dl.Activation, dl.ForeignLayer, dl.Model)
# What differentiates by itself.
_AUTOMATIC = ("torch.", "jax.", "autograd.", "tensorflow.", "scipy.optimize.", "minidl.gradcheck.numerical.")
# What forward calls more often may be an iteration, which comes near its own steps.
_CALLS = 4


class Submission(NamedTuple):
    """What a name stands for: an object of a kind, what it asks to be given (else that is drawn), its module's file."""

    kind: type
    subject: Any
    inputs: list[Any]
    file: str


def graded(name: str, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the report of a subject with its points, and the same as a text."""
    reference = load_reference(options.reference) if options.reference else None
    submission = load(name)
    asked, kind, subject = reference or submission, submission.kind, submission.subject
    if kind is not asked.kind:
        raise dl.InputError(f"expected a {asked.kind.__name__}, as the reference is, got a {kind.__name__}")
    batches = [asked.inputs]
    if not asked.inputs:
        if not options.input_shape:
            raise dl.InputError(f"{options.reference or name} returns no inputs; give --input-shape")
        rng = np.random.default_rng(options.seed)
        batches = [drawn(asked.subject, options.input_shape, rng, rows) for rows in _ROWS]
    if reference and (why := borrowed(reference, submission, batches[0])):
        raise dl.InputError(f"refused: {why}")
    given = {key: getattr(options, key) for key in ("seed", "every_entry", "max_seconds")}
    report = _CHECKS[_KINDS.index(kind)](subject, *batches[0], **given)
    reasons = {}
    if not report.ok:
        finding = f"{report.verdict.name}: {[*report.findings, report.verdict.value][0]}"
        reasons = {"gradient": finding, "contract": "not decided, because the gradient did not pass"}
        # Some of its rules are checked before any values are, the others after all of these were right.
        if report.compared and report.verdict in (dl.Verdict.FAIL_CONTRACT, dl.Verdict.STATE_CHANGED):
            reasons = {"contract": finding}
    elif kind is dl.Layer and not asked.inputs and HAS_HYPOTHESIS:
        from minidl.testing import check_layer_contract

        try:
            check_layer_contract(lambda: copy.deepcopy(subject), options.input_shape)
        except dl.MinidlError as error:
            reasons["contract"] = " ".join(str(error).split())[:300]
    if reference and (why := difference(reference.subject, subject, batches)):
        reasons["reference"] = why
    document = report.to_dict() | with_points(name, reasons, options)
    _, *others = document["points"]
    return document, "\n".join([str(report), *(f"{part}: {reasons.get(part, 'right')}" for part in others)])


def with_points(name: str, reasons: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Return a point for each part that is right, and the reasons for those missing."""
    parts = ["gradient", "contract", *(["reference"] if options.reference else [])]
    points = {part: int(not {part, "run"} & {*reasons}) for part in parts}
    return {"submission": name, "ok": not reasons, "points": points, "reasons": reasons}


def load(name: str) -> Submission:
    """Import the user's module, and return what the name in it is or returns."""
    module, _, attribute = name.rpartition(":")
    path = Path(module).absolute()
    # As `python FILE.py` does, whatever the file is called: submissions are called random.py, and layer.v2.py.
    file = module.endswith(".py")
    sys.path.insert(0, str(path.parent if file else Path.cwd()))
    found = runpy.run_path(str(path), run_name=path.stem) if file else vars(importlib.import_module(module))
    # What Python itself imports later does not come from that folder.
    sys.path.append(sys.path.pop(0))
    if attribute not in found:
        public = [known for known in found if not known.startswith("_")]
        hint = f"; did you mean {' or '.join(likely)}?" if (likely := nearest(attribute, public, 2)) else ""
        raise dl.InputError(f"{name}: {module} has no {attribute}{hint}")
    made = found[attribute]
    # A layer of the user's own may have a __call__, as those of PyTorch have: it is checked, and not called.
    made = made() if callable(made) and not isinstance(made, _KINDS) else made
    subject, *inputs = made if isinstance(made, tuple) and made else (made,)
    for kind in _KINDS:
        if isinstance(subject, kind):
            return Submission(kind, subject, inputs, found.get("__file__") or "")
    wanted = "a Layer, Loss, Regularizer or Model, alone, or first in a tuple with its inputs"
    got = getattr(subject, "__name__", type(subject).__name__)
    raise dl.InputError(f"{name}: expected {wanted}, got {got}; return such an object")


def load_reference(name: str) -> Submission:
    """Do what `load` does, and forget the modules of that folder: a submission may have files of the same names."""
    modules, path = set(sys.modules), [*sys.path]
    reference = load(name)
    for module in set(sys.modules) - modules:
        if Path(getattr(sys.modules[module], "__file__", None) or "").parent == Path(reference.file).parent:
            del sys.modules[module]
    sys.path[:] = path
    return reference


def error_text(error: BaseException) -> str:
    """Return what the user's code raised as a sentence, with the place."""
    if isinstance(error, dl.MinidlError):
        return str(error)
    file, line, *_ = traceback.extract_tb(error.__traceback__)[-1]
    ours = file.startswith((str(Path(dl.__file__).parent), str(Path(importlib.__file__).parent), "<"))
    return f"{type(error).__name__}: {error}" + ("" if ours else f" ({Path(file).name}, line {line})")


def drawn(subject: Any, shape: tuple[int, ...], rng: np.random.Generator, rows: int) -> list[Array]:
    """Return what `subject` is given: normal numbers, and for a loss or a model targets that it takes."""
    x = rng.normal(size=shape if isinstance(subject, dl.Regularizer) else (rows, *shape))
    if isinstance(subject, dl.Layer | dl.Regularizer):
        return [x]
    outputs, loss = (subject.forward(x), subject.loss) if isinstance(subject, dl.Model) else (x, subject)
    labels = rng.integers(0, outputs.shape[-1], size=len(outputs))
    # Unless it is no loss of class labels.
    with suppress(dl.InputError):
        loss.check_targets(labels, outputs.shape)
        return [x, labels]
    return [x, rng.uniform(size=outputs.shape)]


def borrowed(reference: Submission, submission: Submission, inputs: list[Any]) -> str:
    """Return why a submission is no work of its own, "" if nothing shows that."""
    if any(getattr(module, "__file__", None) == reference.file for module in [*sys.modules.values()]):
        return f"it imports the reference, {Path(reference.file).name}"
    kind, subject = type(reference.subject), submission.subject
    parts = [part for _, part in subject.walk()] if isinstance(subject, dl.Layer) else [subject]
    if kind not in _COMPOSED and any(isinstance(part, kind) for part in parts):
        return f"it is, inherits or contains {kind.__name__}, the class of the reference"
    differentiated = _differentiated(subject, inputs)
    # A reference that runs another library lets submissions do so, too.
    return "" if differentiated and _differentiated(reference.subject, inputs) else differentiated


def difference(reference: Any, subject: Any, batches: list[list[Any]]) -> str:
    """Return the first entry in which forward or a gradient is not the reference's, "" if all agree."""
    compared = [partial(_compare, reference, subject, inputs) for inputs in batches]
    return str([*collect(partial(attempt, "the comparison", one) for one in compared), ""][0])


def _compare(reference: Any, subject: Any, inputs: list[Any]) -> None:
    twin, own = _checked(reference, inputs), _checked(subject, inputs)
    theirs, ours = ({name: tensor.shape for name, tensor in one.tensors.items()} for one in (twin, own))
    if theirs != ours:
        fail(f"expected arrays of these names and shapes, as in the reference: {theirs}, got {ours}")
    own.place(twin.tensors)
    if isinstance(own, LayerSubject) and isinstance(twin, LayerSubject):
        own.dy = twin.dy
    expected, place = _computed(twin), f"given shape {np.shape(inputs[0])}"
    for what, got in _computed(own).items():
        scale = 1e6 * np.abs(expected[what]).max(initial=0.0) + 1
        close(place, what, got, expected[what], scale, ", as in the reference")


def _computed(subject: Subject) -> dict[str, Array]:
    found = {"forward": subject.outputs()}
    found |= {f"the gradient of {name}": gradient for name, gradient in subject.gradients().items()}
    if isinstance(subject, LayerSubject):
        found["forward in prediction"] = subject.layer.forward(subject.x.copy())
    return found


def _checked(subject: Any, inputs: list[Any]) -> Subject:
    """Return a copy as outputs that depend on tensors; a layer away from its start, where 0 would hide a lost bias."""
    if isinstance(subject, dl.Layer):
        return LayerSubject(subject.astype(np.float64), inputs[0], np.random.default_rng(0))
    if isinstance(subject, dl.Model):
        return CostSubject(subject.astype(np.float64), *inputs)
    return (of_loss if isinstance(subject, dl.Loss) else of_regularizer)(copy.deepcopy(subject), *inputs)


def _differentiated(subject: Any, inputs: list[Any]) -> str:
    """Return what the backward of `subject` differentiates by, "" if it seems to do so itself."""
    # The arguments of each function that forward calls.
    known: dict[CodeType, list[Array]] = defaultdict(list)
    found: list[str] = []

    def note(backward: bool, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or found:
            return
        module, near = f"{frame.f_globals.get('__name__')}.", known[frame.f_code]
        if backward and module.startswith(_AUTOMATIC):
            found.append(f"its backward runs {module[:-1]}")
        elif len(near) <= _CALLS:
            values = [np.zeros(0), *frame.f_locals.values(), *own.tensors.values()]
            flat = np.concatenate([v.ravel() for v in values if isinstance(v, np.ndarray) and v.dtype.kind in "fc"])
            steps = [np.abs(flat - other).max(initial=0.0) for other in near if other.shape == flat.shape]
            if not backward:
                near.append(flat)
            elif steps and 1e-12 < min(steps) < 2e-3:
                found.append(
                    f"its backward differentiates numerically: it calls {frame.f_code.co_name} a small step away"
                )

    # What it raises, the check says better.
    with suppress(Exception, SystemExit):
        own = _checked(subject, inputs)
        # What is imported on the first use is none of the calls.
        own.gradients()
        sys.setprofile(partial(note, False))
        own.outputs()
        sys.setprofile(partial(note, True))
        own.gradients()
    sys.setprofile(None)
    return "".join(found)
