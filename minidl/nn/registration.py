"""Registration: finds parts of a layer that are not registered, so neither trained nor saved."""

import re
from collections.abc import Iterator

from minidl._core.attributes import is_ours
from minidl._core.errors import InputError
from minidl._core.nested import instances_in
from minidl.nn.layers.base import HELD_BY_ALL, Layer
from minidl.nn.losses import Loss
from minidl.nn.parameter import Parameter
from minidl.nn.regularizers import Regularizer

Part = Parameter | Layer


def unregistered(network: Layer) -> Iterator[tuple[str, Layer, str, Part]]:
    """Yield (path, layer, attribute, part) for each part that is an attribute of a layer, but not registered.

    A part is a parameter, or a layer with parameters or buffers, also within lists, tuples, sets and dicts. A reference
    to a part that another layer of the network has registered is allowed.
    """
    todo = list(network.walk())
    known = {id(layer) for _, layer in todo} | {id(parameter) for parameter in network.named_parameters().values()}
    for path, layer in todo:
        for name, part in _parts(layer):
            if id(part) in known:
                continue
            known.add(id(part))
            if isinstance(part, Parameter) or part.named_parameters() or part.named_buffers():
                yield path, layer, name, part
            else:
                # A layer without parameters, such as ReLU, need not be registered, but its own parts must be.
                todo += part.walk(f"{path}{name}.")


def _parts(layer: Layer) -> Iterator[tuple[str, Part]]:
    """Yield each parameter and layer in the attributes of `layer`, and in those of its classes that users wrote."""
    written = [cls for cls in reversed(type(layer).__mro__) if not is_ours(cls)]
    attributes = {name: value for cls in written for name, value in vars(cls).items()} | vars(layer)
    for name, value in attributes.items():
        if name not in HELD_BY_ALL:
            yield from ((name + index, part) for index, part in instances_in(value, Parameter, Layer))


def line_to_write(name: str, part: Part) -> str:
    """Return the line of a constructor that registers the attribute `name`."""
    registered = re.sub(r"\W+", "_", name).strip("_")
    if isinstance(part, Layer):
        return f'self.add_layer("{registered}", self.{name})'
    return f'self.{name} = self.add_parameter("{registered}", self.{name}.value)'


def check_registered(network: Layer, loss: Loss, regularizer: Regularizer | None) -> None:
    """Raise an error for a parameter or layer that would not be trained because it is not registered."""
    for path, layer, name, part in unregistered(network):
        place = f", at {path[:-1]!r}," if path else ""
        hint = f"so it is neither trained nor saved; write in the constructor: {line_to_write(name, part)}"
        raise InputError(f"Model: {layer!r:.80}{place} has {part!r:.80} only as its attribute {name}, {hint}")
    known = {id(parameter) for parameter in network.named_parameters().values()}
    for owner in (loss, regularizer):
        for name, value in vars(owner).items() if owner is not None else ():
            for index, part in instances_in(value, Parameter):
                if part.trainable and id(part) not in known:
                    hint = "it is not trained; register it in a layer with add_parameter, or keep its .value"
                    raise InputError(f"Model: {owner!r:.80} has {part!r:.80} as attribute {name}{index}; {hint}")
