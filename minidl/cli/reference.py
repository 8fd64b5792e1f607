"""A submission beside a reference: whether it is work of its own, and whether both compute the same."""

import copy
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import numpy as np

import minidl as dl
from minidl._core.types import Array
from minidl.cli.submission import Submission
from minidl.gradcheck.expect import close
from minidl.gradcheck.probing import attempt, collect, fail
from minidl.gradcheck.subjects import CostSubject, LayerSubject, Subject, move_parameters, of_loss, of_regularizer

# What differentiates by itself.
_AUTOMATIC = ("torch.", "jax.", "autograd.", "tensorflow.", "scipy.optimize.", "minidl.gradcheck.numerical.")


def borrowed(reference: Submission, submission: Submission, inputs: list[Any]) -> str:
    """Return why a submission is no work of its own, "" if nothing shows that."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    if reference.file in files - {submission.file}:
        return f"it imports the reference, {Path(reference.file).name}"
    ours, theirs = _parts(submission.subject), _parts(reference.subject)
    # What is composed of several layers forbids none of them, and a function has no class of its own.
    own_class = len(theirs) == 1 and not isinstance(theirs[0], type | FunctionType)
    if own_class and any(isinstance(part, type(theirs[0])) for part in ours):
        return f"it is, inherits or contains {type(theirs[0]).__name__}, the class of the reference"
    differentiated = _differentiated(submission.subject, inputs)
    # A reference that runs another library lets submissions do so, too.
    return "" if differentiated and _differentiated(reference.subject, inputs) else differentiated


def difference(reference: Submission, submission: Submission, batches: Iterable[list[Any]]) -> str:
    """Return the first entry in which forward or a gradient is not the reference's, "" if all agree."""
    compared = partial(_compare, reference.subject, submission.subject, batches)
    findings = collect([lambda: attempt("the comparison", compared)])
    return str(findings[0]) if findings else ""


def _parts(subject: Any) -> list[Any]:
    """Return the objects that a subject is made of; behind a ForeignLayer is one that the user wrote."""
    if isinstance(subject, dl.Model):
        return [*_parts(subject.network), subject.loss]
    layers = [layer for _, layer in subject.walk()] if isinstance(subject, dl.Layer) else [subject]
    return [getattr(layer, "_target", getattr(layer, "target", layer)) for layer in layers]


def _compare(reference: Any, subject: Any, batches: Iterable[list[Any]]) -> None:
    for number, inputs in enumerate(batches, 1):
        twin, own = (_checked(one, inputs) for one in (reference, subject))
        theirs, ours = ({name: tensor.shape for name, tensor in one.tensors.items()} for one in (twin, own))
        if theirs != ours:
            fail(f"expected arrays of these names and shapes, as in the reference: {theirs}, got {ours}")
        for name, tensor in own.tensors.items():
            tensor[...] = twin.tensors[name]
        if isinstance(own, LayerSubject) and isinstance(twin, LayerSubject):
            own.dy = twin.dy
        for (what, want), (_, got) in zip(_computed(twin), _computed(own), strict=True):
            place = f"in draw {number}, of shape {np.shape(inputs[0])}"
            close(place, what, got, want, 1e6 * np.abs(want).max(initial=0.0) + 1, ", as in the reference")


def _computed(subject: Subject) -> Iterator[tuple[str, Array]]:
    yield "y" if isinstance(subject, LayerSubject) else "the value", subject.outputs()
    yield from ((f"the gradient of {name}", gradient) for name, gradient in subject.gradients().items())
    if isinstance(subject, LayerSubject):
        yield "y in prediction", subject.layer.forward(subject.x.copy())


def _checked(subject: Any, inputs: list[Any]) -> Subject:
    """Return a copy as outputs that depend on tensors, away from where parameters start: 0 would hide a lost bias."""
    twin = subject.astype(np.float64) if isinstance(subject, dl.Layer | dl.Model) else copy.deepcopy(subject)
    rng = np.random.default_rng(0)
    if isinstance(twin, dl.Layer):
        return LayerSubject(twin, inputs[0], rng)
    if isinstance(twin, dl.Model):
        move_parameters(twin.parameters, rng)
        return CostSubject(twin, *inputs)
    return (of_loss if isinstance(twin, dl.Loss) else of_regularizer)(twin, *inputs)


def _differentiated(subject: Any, inputs: list[Any]) -> str:
    """Return what the backward of `subject` differentiates by, "" if it seems to do so itself."""
    calls: list[tuple[Any, str, Array]] = []
    counts: Counter[Any] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        counts[frame.f_code] += event == "call"
        # What forward calls in a long loop is not judged: the others show what they are by their first calls.
        if event == "call" and counts[frame.f_code] <= 30:
            values = (*frame.f_locals.values(), *own.tensors.values())
            arrays = [value for value in values if isinstance(value, np.ndarray) and value.dtype.kind in "fc"]
            flat = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays)])
            calls.append((frame.f_code, f"{frame.f_globals.get('__name__')}.", flat))

    try:
        own = _checked(subject, inputs)
        # What is imported on the first use is none of the calls.
        own.gradients()
        sys.setprofile(note)
        own.outputs()
        forward = [call for call in calls if counts[call[0]] <= 30]
        split = len(calls)
        counts.clear()
        own.gradients()
    except (Exception, SystemExit):
        # The check says that better.
        return ""
    finally:
        sys.setprofile(None)
    for code, module, flat in calls[split:]:
        if module.startswith(_AUTOMATIC):
            return f"its backward runs {module[:-1]}"
        before = [other for same, _, other in forward if same is code and other.shape == flat.shape]
        steps = [np.abs(flat - other).max(initial=0.0) for other in before]
        if steps and 1e-12 < min(steps) < 2e-3:
            return f"its backward calls {code.co_name} a small step away: it differentiates numerically"
    return ""
