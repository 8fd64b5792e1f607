"""Submissions: load MODULE:NAME or FILE.py:NAME, check its gradient, and compare it with a reference."""

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
# minidl.testing needs Hypothesis.
HAS_HYPOTHESIS = importlib.util.find_spec("hypothesis") is not None
# Batch sizes of random input: the first is checked, and all are compared with a reference. One row has no variance.
_ROWS = (4, 2, 3, 8)
# If the reference is of these classes, a submission may use them too.
_COMPOSED = (dl.Sequential, dl.Residual, dl.Parallel, dl.Activation, dl.ForeignLayer, dl.Model)
# Modules that compute derivatives.
_AUTOMATIC = ("torch.", "jax.", "autograd.", "tensorflow.", "scipy.optimize.", "minidl.gradcheck.numerical.")
# A function that forward calls more often may be an iteration, whose steps can be small without being differences.
_CALLS = 4


class Submission(NamedTuple):
    """A loaded object: its kind, the object, its inputs (empty: random ones are drawn), and its module's file."""

    kind: type
    subject: Any
    inputs: list[Any]
    file: str


def graded(name: str, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the report on a subject with its points, as a document and as a text."""
    reference = load_reference(options.reference) if options.reference else None
    submission = load(name)
    asked, kind, subject = reference or submission, submission.kind, submission.subject
    if kind is not asked.kind:
        raise dl.InputError(f"expected a {asked.kind.__name__} like the reference, got a {kind.__name__}")
    batches = [asked.inputs]
    if not asked.inputs:
        if not options.input_shape:
            raise dl.InputError(f"{options.reference or name} has no inputs. Add --input-shape, or return (layer, x)")
        rng = np.random.default_rng(options.seed)
        batches = [drawn(asked.subject, options.input_shape, rng, rows) for rows in _ROWS]
    if reference and (why := borrowed(reference, submission, batches[0])):
        raise dl.InputError(f"refused: {why}")
    given = {key: getattr(options, key) for key in ("seed", "every_entry", "max_seconds")}
    report = _CHECKS[_KINDS.index(kind)](subject, *batches[0], **given)
    reasons = {}
    if not report.ok:
        finding = f"{report.verdict.name}: {[*report.findings, report.verdict.value][0]}"
        reasons = {"gradient": finding, "contract": "not checked, because the gradient check failed"}
        # Some rules of the contract are checked before the values, the others after all values are correct.
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
    return document, "\n".join([str(report), *(f"{part}: {reasons.get(part, 'ok')}" for part in others)])


def with_points(name: str, reasons: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Return a point for each correct part, and the reasons for missing points."""
    parts = ["gradient", "contract", *(["reference"] if options.reference else [])]
    points = {part: int(not {part, "run"} & {*reasons}) for part in parts}
    return {"submission": name, "ok": not reasons, "points": points, "reasons": reasons}


def load(name: str) -> Submission:
    """Import the user's module, and return the object that the name in it is or returns."""
    module, _, attribute = name.rpartition(":")
    path = Path(module).absolute()
    # A file is run as by `python FILE.py`, since its name may be random.py or layer.v2.py.
    file = module.endswith(".py")
    sys.path.insert(0, str(path.parent if file else Path.cwd()))
    names = runpy.run_path(str(path), run_name=path.stem) if file else vars(importlib.import_module(module))
    # Moved to the end, so that later imports of the standard library do not find files of that folder.
    sys.path.append(sys.path.pop(0))
    if attribute not in names:
        public = [known for known in names if not known.startswith("_")]
        hint = f"; did you mean {' or '.join(likely)}?" if (likely := nearest(attribute, public, 2)) else ""
        raise dl.InputError(f"{name}: {module} has no {attribute}{hint}")
    made = names[attribute]
    # A user's layer may have a __call__, as in PyTorch; it is checked, not called.
    made = made() if callable(made) and not isinstance(made, _KINDS) else made
    subject, *inputs = made if isinstance(made, tuple) and made else (made,)
    for kind in _KINDS:
        if isinstance(subject, kind):
            return Submission(kind, subject, inputs, names.get("__file__") or "")
    wanted = "a Layer, Loss, Regularizer or Model, or a tuple of one and its inputs"
    got = getattr(subject, "__name__", type(subject).__name__)
    raise dl.InputError(f"{name}: expected {wanted}, got {got}; return such an object")


def load_reference(name: str) -> Submission:
    """Call `load`, then remove the modules of that folder, since a submission may have files of the same names."""
    modules, path = set(sys.modules), [*sys.path]
    reference = load(name)
    for module in set(sys.modules) - modules:
        if Path(getattr(sys.modules[module], "__file__", None) or "").parent == Path(reference.file).parent:
            del sys.modules[module]
    sys.path[:] = path
    return reference


def error_text(error: BaseException) -> str:
    """Return an error of the user's code as a sentence, with file and line."""
    if isinstance(error, dl.MinidlError):
        return str(error)
    file, line, *_ = traceback.extract_tb(error.__traceback__)[-1]
    ours = file.startswith((str(Path(dl.__file__).parent), str(Path(importlib.__file__).parent), "<"))
    return f"{type(error).__name__}: {error}" + ("" if ours else f" ({Path(file).name}, line {line})")


def drawn(subject: Any, shape: tuple[int, ...], rng: np.random.Generator, rows: int) -> list[Array]:
    """Return random input for `subject`: normal numbers, and for a loss or a model also valid targets."""
    x = rng.normal(size=shape if isinstance(subject, dl.Regularizer) else (rows, *shape))
    if isinstance(subject, dl.Layer | dl.Regularizer):
        return [x]
    outputs, loss = (subject.forward(x), subject.loss) if isinstance(subject, dl.Model) else (x, subject)
    labels = rng.integers(0, outputs.shape[-1], size=len(outputs))
    # A loss that does not take class labels raises an error here.
    with suppress(dl.InputError):
        loss.check_targets(labels, outputs.shape)
        return [x, labels]
    return [x, rng.uniform(size=outputs.shape)]


def borrowed(reference: Submission, submission: Submission, inputs: list[Any]) -> str:
    """Return why a submission is not the author's own work, or "" if there is no sign of that."""
    if any(getattr(module, "__file__", None) == reference.file for module in [*sys.modules.values()]):
        return f"it imports the reference, {Path(reference.file).name}"
    kind, subject = type(reference.subject), submission.subject
    parts = [part for _, part in subject.walk()] if isinstance(subject, dl.Layer) else [subject]
    if kind not in _COMPOSED and any(isinstance(part, kind) for part in parts):
        return f"it is, inherits or contains {kind.__name__}, the class of the reference"
    differentiated = _differentiated(subject, inputs)
    # If the reference uses an automatic derivative, submissions may too.
    return "" if differentiated and _differentiated(reference.subject, inputs) else differentiated


def difference(reference: Any, subject: Any, batches: list[list[Any]]) -> str:
    """Return the first difference from the reference in forward or a gradient, or "" if all agree."""
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
    expected, place = _computed(twin), f"for input shape {np.shape(inputs[0])}"
    for name, got in _computed(own).items():
        scale = 1e6 * np.abs(expected[name]).max(initial=0.0) + 1
        close(place, name, got, expected[name], scale, source=" (the reference)")


def _computed(subject: Subject) -> dict[str, Array]:
    arrays = {"forward": subject.outputs()}
    arrays |= {f"the gradient of {name}": gradient for name, gradient in subject.gradients().items()}
    if isinstance(subject, LayerSubject):
        arrays["forward in prediction"] = subject.layer.forward(subject.x.copy())
    return arrays


def _checked(subject: Any, inputs: list[Any]) -> Subject:
    """Return a copy as outputs that depend on tensors; a layer's biases are not 0, which would hide a missing bias."""
    if isinstance(subject, dl.Layer):
        return LayerSubject(subject.astype(np.float64), inputs[0], np.random.default_rng(0))
    if isinstance(subject, dl.Model):
        return CostSubject(subject.astype(np.float64), *inputs)
    return (of_loss if isinstance(subject, dl.Loss) else of_regularizer)(copy.deepcopy(subject), *inputs)


def _differentiated(subject: Any, inputs: list[Any]) -> str:
    """Return how the backward of `subject` avoids deriving the gradient, or "" if there is no sign of that."""
    # The arguments of each function that forward calls.
    known: dict[CodeType, list[Array]] = defaultdict(list)
    reasons: list[str] = []

    def note(backward: bool, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or reasons:
            return
        module, near = f"{frame.f_globals.get('__name__')}.", known[frame.f_code]
        if backward and module.startswith(_AUTOMATIC):
            reasons.append(f"its backward runs {module[:-1]}")
        elif len(near) <= _CALLS:
            values = [np.zeros(0), *frame.f_locals.values(), *own.tensors.values()]
            flat = np.concatenate([v.ravel() for v in values if isinstance(v, np.ndarray) and v.dtype.kind in "fc"])
            steps = [np.abs(flat - other).max(initial=0.0) for other in near if other.shape == flat.shape]
            if not backward:
                near.append(flat)
            elif steps and 1e-12 < min(steps) < 2e-3:
                call = f"it calls {frame.f_code.co_name} at a point near the input or a parameter"
                reasons.append(f"its backward differentiates numerically: {call}")

    # The gradient check reports errors better.
    with suppress(Exception, SystemExit):
        own = _checked(subject, inputs)
        # A first run, so that imports on first use are not recorded.
        own.gradients()
        sys.setprofile(partial(note, False))
        own.outputs()
        sys.setprofile(partial(note, True))
        own.gradients()
    sys.setprofile(None)
    return "".join(reasons)
