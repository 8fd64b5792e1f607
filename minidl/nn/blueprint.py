"""Blueprint: how a network is made, in words, so that a file of weights can say which network they are of."""

import re

from minidl._core.reprs import oneline_repr
from minidl._core.texts import legible
from minidl.nn.layers import Dropout, Layer

BLUEPRINT = "minidl.network"
"""The name of the text in a file of weights."""
LONGEST = 2**15
"""Characters of a blueprint; of a deeper network it has the first layers, and ends in ``...``."""
_LINE = 1000
_CUT = "..."


def blueprint(network: Layer) -> str:
    """Return a line for each layer, ``path: how it is made``; the network itself has the path ``-``."""
    lines, left = [], LONGEST
    for path, layer in network.walk():
        lines.append(f"{path.rstrip('.') or '-'}: {_made(layer)}"[:_LINE])
        left -= len(lines[-1]) + 1
        if left < 2 * _LINE:
            lines.append(_CUT)
            break
    return "\n".join(lines)


def differences(written: str, network: Layer) -> list[str]:
    """Return in words where `network` is made otherwise than a blueprint says."""
    there, ours = _lines(written), _lines(blueprint(network))
    # Of a network that is too deep for a blueprint, only what both tell can be compared.
    cut = _CUT in there or _CUT in ours
    paths = [path for path in ours | there if not cut or (path in ours and path in there)]
    found = [path for path in paths if there.get(path) != ours.get(path)]
    # A container differs wherever one of its layers does; that is said by the layer alone.
    containers = {"-", *(path.rpartition(".")[0] for path in paths)}
    leaves = [path for path in found if path not in containers]
    return [
        f"{'the network' if path == '-' else f'layer {path:.60}'} is {there.get(path, 'missing'):.60} in the file and "
        f"{ours.get(path, 'missing'):.60} here"
        for path in leaves or found
    ]


def _made(layer: Layer) -> str:
    """Return how a layer is made, on one line, without the layers within it."""
    # Its rate matters in training alone: another one makes no other predictions of the same weights.
    if type(layer) is Dropout:
        return "Dropout"
    try:
        text = oneline_repr(layer)
        inner = {oneline_repr(inner) for inner in layer._layers.values()}
        # The longest first: ReLU() is a part of LeakyReLU().
        for part in sorted(inner, key=lambda part: (-len(part), part)):
            text = text.replace(part, _CUT)
    # A repr of the user's may raise anything, and weights are worth more than words about them.
    except Exception:
        text = type(layer).__name__
    return re.sub(r"\.\.\.(, \.\.\.)+", _CUT, text).encode(errors="backslashreplace").decode()


def _lines(text: str) -> dict[str, str]:
    """Return how each layer is made, by its path, with nothing that a terminal would obey."""
    parts = (line.partition(": ") for line in legible(text[:LONGEST]).split("\n"))
    return {path: made for path, _, made in parts}
