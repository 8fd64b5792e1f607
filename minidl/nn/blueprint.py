"""Blueprint: a text that describes a network, so that a file of weights records which network they belong to."""

import re

from minidl._core.reprs import oneline_repr
from minidl._core.texts import legible
from minidl.nn.layers import Dropout, Layer

BLUEPRINT = "minidl.network"
"""Name of the text in a file of weights."""
LONGEST = 2**15
"""Longest blueprint, in characters; for a deeper network it lists the first layers, and ends in ``...``."""
_LINE = 1000
_CUT = "..."


def blueprint(network: Layer) -> str:
    """Return one line per layer, ``path: constructor call``; the network itself has the path ``-``."""
    lines, left = [], LONGEST
    for path, layer in network.walk():
        lines.append(f"{path.rstrip('.') or '-'}: {_constructor(layer)}"[:_LINE])
        left -= len(lines[-1]) + 1
        if left < 2 * _LINE:
            lines.append(_CUT)
            break
    return "\n".join(lines)


def differences(written: str, network: Layer) -> list[str]:
    """Return one sentence for each layer of `network` that differs from a blueprint."""
    saved, ours = _lines(written), _lines(blueprint(network))
    # If a network is too deep for a blueprint, compare only the layers that both list.
    cut = _CUT in saved or _CUT in ours
    paths = [path for path in ours | saved if not cut or (path in ours and path in saved)]
    changed = [path for path in paths if saved.get(path) != ours.get(path)]
    # A container differs if one of its layers does; then only the layer is reported.
    containers = {"-", *(path.rpartition(".")[0] for path in paths)}
    leaves = [path for path in changed if path not in containers]
    return [
        f"{'the network' if path == '-' else f'layer {path:.60}'} is {saved.get(path, 'missing'):.60} in the file and "
        f"{ours.get(path, 'missing'):.60} here"
        for path in leaves or changed
    ]


def _constructor(layer: Layer) -> str:
    """Return the constructor call of a layer, on one line, without its inner layers."""
    # The rate matters only in training: predictions with the same weights do not depend on it.
    if type(layer) is Dropout:
        return "Dropout"
    try:
        text = oneline_repr(layer)
        inner = {oneline_repr(inner) for inner in layer._layers.values()}
        # Replace the longest first: "ReLU()" is a part of "LeakyReLU()".
        for part in sorted(inner, key=lambda part: (-len(part), part)):
            text = text.replace(part, _CUT)
    # A user's repr may raise any error; the weights must be saved all the same.
    except Exception:
        text = type(layer).__name__
    return re.sub(r"\.\.\.(, \.\.\.)+", _CUT, text).encode(errors="backslashreplace").decode()


def _lines(text: str) -> dict[str, str]:
    """Return the constructor call of each layer by its path, without terminal control characters."""
    parts = (line.partition(": ") for line in legible(text[:LONGEST]).split("\n"))
    return {path: call for path, _, call in parts}
