"""Check the gradient of a layer, loss, regularizer or model of yours against numerical derivatives.

SUBJECT is MODULE:NAME or FILE.py:NAME, where NAME is a function without arguments, or what it would return:
  a Layer, Loss, Regularizer or Model, of which --input-shape says what it is given; or
  (layer, x), (loss, outputs, targets), (regularizer, w), (model, x, y).
The module is imported, which runs it; modules are looked for in the current folder first.

examples:
  minidl checkgrad layers.py:make_scale --input-shape 5
  minidl checkgrad mypackage.losses:example_loss --json

exit status 1 if the gradient or the contract is wrong
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.errors import InputError, MinidlError
from minidl._core.spelling import nearest
from minidl._core.types import Array
from minidl.cli.ending import Answer
from minidl.gradcheck import GradientReport, check_layer, check_loss, check_model, check_regularizer
from minidl.lab_report.options import count
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.model import Model
from minidl.nn.regularizers import Regularizer

HELP = "check the gradient of a class of your own"

# Of a batch that is drawn.
_ROWS = 4
_CHECKS: dict[type, Callable[..., GradientReport]] = {
    Layer: check_layer,
    Loss: check_loss,
    Regularizer: check_regularizer,
    Model: check_model,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="SUBJECT", help="MODULE:NAME or FILE.py:NAME")
    shape_help = "of one row of the input, such as 5 or 32,32,3 (of a regularizer: of the weight)"
    parser.add_argument("--input-shape", type=_shape, metavar="N[,N...]", help=shape_help)
    parser.add_argument("--seed", type=count(0), default=0, metavar="N", help="of all that is drawn; default: 0")
    parser.add_argument("--every-entry", action="store_true", help="compare every entry, also of large tensors")


def run(options: argparse.Namespace) -> Answer:
    module, colon, name = options.subject.rpartition(":")
    if not (module and colon and name):
        options.parser.error(f"argument SUBJECT: expected MODULE:NAME or FILE.py:NAME, got {options.subject!r}")
    report = _checked(module, name, options)
    return Answer(report.to_dict(), str(report), report.ok)


def _checked(module: str, name: str, options: argparse.Namespace) -> GradientReport:
    with _blamed(options.subject):
        made = _made(module, name, options.subject)
        subject, *inputs = made if isinstance(made, tuple) and made else (made,)
        check = next((check for kind, check in _CHECKS.items() if isinstance(subject, kind)), None)
        if check is None:
            wanted = "a Layer, Loss, Regularizer or Model, alone or first in a tuple with what it is given"
            raise InputError(f"{options.subject}: expected {wanted}, got {type(subject).__name__}")
        if not inputs and options.input_shape is not None:
            inputs = _drawn(subject, options.input_shape, np.random.default_rng(options.seed))
    if not inputs:
        options.parser.error(f"argument --input-shape: needed, as {options.subject} says not what it is given")
    with _blamed(options.subject):
        try:
            return check(subject, *inputs, seed=options.seed, every_entry=options.every_entry)
        except TypeError as error:
            # The call itself raised it: the checks turn what a subject raises into findings.
            raise InputError(f"{options.subject}: a tuple of {len(inputs) + 1} does not fit: {error}") from None


def _made(module: str, name: str, subject: str) -> Any:
    """Import the user's module, and return what `name` in it is or returns."""
    folder, path = Path.cwd(), None
    if module.endswith(".py"):
        path = Path(module)
        if not path.is_file():
            raise InputError(f"{subject}: there is no file {module}")
        folder, module = path.absolute().parent, path.stem
    # As `python FILE.py` does.
    sys.path.insert(0, str(folder))
    imported = importlib.import_module(module)
    other = getattr(imported, "__file__", None)
    if path is not None and (other is None or not path.samefile(other)):
        taken = f"{module} is the name of another module ({other or 'built in'})"
        raise InputError(f"{subject}: {taken}; give the file another name")
    found = vars(imported)
    if name not in found:
        public = [known for known in found if not known.startswith("_")]
        hint = f"; did you mean {' or '.join(likely)}?" if (likely := nearest(name, public, 2)) else ""
        raise InputError(f"{subject}: {module} has no {name}{hint}")
    made = found[name]
    # A layer of the user's own may have a __call__, as those of PyTorch have: it is checked, and not called.
    return made() if callable(made) and not isinstance(made, tuple(_CHECKS)) else made


@contextmanager
def _blamed(subject: str) -> Iterator[None]:
    """Make a sentence of what the user's code raises, with the place; also of an exit, which may claim success."""
    try:
        yield
    except (MinidlError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = last.filename in (__file__, importlib.__file__) or last.filename.startswith("<")
        place = "" if ours else f" ({Path(last.filename).name}, line {last.lineno})"
        raise InputError(f"{subject}: {type(error).__name__}: {error}{place}") from error


def _drawn(subject: Any, shape: tuple[int, ...], rng: np.random.Generator) -> list[Array]:
    """Return what `subject` is given: normal numbers, and for a loss or a model targets that it takes."""
    if isinstance(subject, Regularizer):
        return [rng.normal(size=shape)]
    x = rng.normal(size=(_ROWS, *shape))
    if isinstance(subject, Layer):
        return [x]
    outputs, loss = (subject.forward(x), subject.loss) if isinstance(subject, Model) else (x, subject)
    labels = rng.integers(0, outputs.shape[-1], size=len(outputs))
    try:
        loss.check_targets(labels, outputs.shape)
        return [x, labels]
    except InputError:
        # It is no loss of class labels.
        return [x, rng.uniform(size=outputs.shape)]


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers from 1 on with commas between, got {text!r}")
    return shape
