"""What MODULE:NAME or FILE.py:NAME of a user's own code stands for, and what it is given."""

import importlib.util
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minidl as dl
from minidl._core.spelling import nearest
from minidl._core.types import Array

CHECKS: dict[type, Callable[..., dl.GradientReport]] = {
    dl.Layer: dl.check_layer,
    dl.Loss: dl.check_loss,
    dl.Regularizer: dl.check_regularizer,
    dl.Model: dl.check_model,
}
# Without it there is no minidl.testing.
HAS_HYPOTHESIS = importlib.util.find_spec("hypothesis") is not None


class Submission(NamedTuple):
    """What a name stands for: a kind of object, what it asks to be given (else that is drawn), its module's file."""

    name: str
    kind: type
    subject: Any
    inputs: list[Any]
    file: str


def load(name: str) -> Submission:
    """Import the user's module, and return what the name in it is or returns."""
    with blamed(name):
        made, file = _found(name)
        # A layer of the user's own may have a __call__, as those of PyTorch have: it is checked, and not called.
        made = made() if callable(made) and not isinstance(made, tuple(CHECKS)) else made
        subject, *inputs = made if isinstance(made, tuple) and made else (made,)
        kind = next((kind for kind in CHECKS if isinstance(subject, kind)), None)
        if kind is None:
            wanted = "a Layer, Loss, Regularizer or Model, alone or first in a tuple with what it is given"
            hint = "; is a return missing?" if subject is None else ""
            hint = "; return an object of that class" if isinstance(subject, type) else hint
            got = getattr(subject, "__name__", type(subject).__name__)
            raise dl.InputError(f"{name}: expected {wanted}, got {got}{hint}")
        return Submission(name, kind, subject, inputs, file)


def load_aside(name: str) -> Submission:
    """Do what `load` does, and forget the modules of that folder: another one may have files of the same names."""
    modules, path = set(sys.modules), [*sys.path]
    loaded = load(name)
    for module in set(sys.modules) - modules:
        if Path(getattr(sys.modules[module], "__file__", None) or "").parent == Path(loaded.file).parent:
            del sys.modules[module]
    sys.path[:] = path
    return loaded


def drawn(subject: Any, shape: tuple[int, ...], rng: np.random.Generator, rows: int = 4) -> list[Array]:
    """Return what `subject` is given: normal numbers, and for a loss or a model targets that it takes."""
    if isinstance(subject, dl.Regularizer):
        return [rng.normal(size=shape)]
    x = rng.normal(size=(rows, *shape))
    if isinstance(subject, dl.Layer):
        return [x]
    outputs, loss = (subject.forward(x), subject.loss) if isinstance(subject, dl.Model) else (x, subject)
    labels = rng.integers(0, outputs.shape[-1], size=len(outputs))
    try:
        loss.check_targets(labels, outputs.shape)
        return [x, labels]
    except dl.InputError:
        # It is no loss of class labels.
        return [x, rng.uniform(size=outputs.shape)]


@contextmanager
def blamed(name: str) -> Iterator[None]:
    """Make a sentence of what the user's code raises, with the place; also of an exit, which may claim success."""
    try:
        yield
    except (dl.MinidlError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        file, line, *_ = traceback.extract_tb(error.__traceback__)[-1]
        ours = file.startswith((str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<"))
        place = "" if ours else f" ({Path(file).name}, line {line})"
        raise dl.InputError(f"{name}: {type(error).__name__}: {error}{place}") from error


def _found(name: str) -> tuple[Any, str]:
    """Return what the name stands for, and the file of its module."""
    module, _, attribute = name.rpartition(":")
    path = Path(module).absolute()
    file = module.endswith(".py")
    # As `python FILE.py` does, whatever the file is called: submissions are called random.py, and layer.v2.py.
    sys.path.insert(0, str(path.parent if file else Path.cwd()))
    found = runpy.run_path(str(path), run_name=path.stem) if file else vars(importlib.import_module(module))
    if attribute not in found:
        public = [known for known in found if not known.startswith("_")]
        hint = f"; did you mean {' or '.join(likely)}?" if (likely := nearest(attribute, public, 2)) else ""
        raise dl.InputError(f"{name}: {module} has no {attribute}{hint}")
    return found[attribute], found.get("__file__") or ""
