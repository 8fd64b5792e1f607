"""Sequential: bugs in the way back through its layers."""

from minidl import Dense, Layer, ReLU, Sequential
from planted.fault import FAIL_CONTRACT, Family
from planted.numbers import X

network = Family("layer", lambda c: (c(Dense(4, 4, rng=0), ReLU(), Dense(4, 4, rng=1)), X))


def through(layers, dy):
    for layer in layers:
        dy = layer.backward(dy)
    return dy


@network(68, "`backward_parameters` reaches the last layer alone", FAIL_CONTRACT)
class LastLayerAlone(Sequential):
    def backward_parameters(self, dy):
        self.layers[-1].backward_parameters(dy)


PARAMETERS = {"backward_parameters": Layer.backward_parameters}


# fmt: off
network.row(60, "FromTheFront", "backward runs through the layers from the front", Sequential,
    {"backward": lambda self, dy: through(self.layers, dy), **PARAMETERS}, tensor="0.weight")
network.row(60, "PassesByReLU", "backward passes by the activations", Sequential,
    {"backward": lambda self, dy: through(self.layers[::-2], dy), **PARAMETERS}, tensor="0.weight")
network.row(60, "LeavesFirstOut", "backward leaves the first layer out", Sequential,
    {"backward": lambda self, dy: through(self.layers[:0:-1], dy), **PARAMETERS}, tensor="0.weight")
network.row(60, "SameDy", "every layer gets the network's dy", Sequential,
    {"backward": lambda self, dy: [layer.backward(dy) for layer in reversed(self.layers)][-1], **PARAMETERS},
    tensor="0.weight")
# fmt: on
