"""Sequential: bugs in the way back through its layers."""

from minidl import Dense, Layer, ReLU, Sequential
from planted.fault import FAIL_CONTRACT, Family
from planted.numbers import X

network = Family("layer", lambda c: (c(Dense(4, 4, rng=0), ReLU(), Dense(4, 4, rng=1)), X))


@network(60, "backward runs through the layers from the front", tensor="0.weight")
class FromTheFront(Sequential):
    def backward(self, dy):
        for layer in self.layers:
            dy = layer.backward(dy)
        return dy

    backward_parameters = Layer.backward_parameters


@network(60, "backward passes by the activations", tensor="0.weight")
class PassesByReLU(Sequential):
    def backward(self, dy):
        self.layers[1].backward(dy)
        return self.layers[0].backward(self.layers[2].backward(dy))

    backward_parameters = Layer.backward_parameters


@network(60, "backward leaves the first layer out", tensor="0.weight")
class LeavesFirstOut(Sequential):
    def backward(self, dy):
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        return dy

    backward_parameters = backward


@network(68, "`backward_parameters` reaches the last layer alone", FAIL_CONTRACT)
class LastLayerAlone(Sequential):
    def backward_parameters(self, dy):
        self.layers[-1].backward_parameters(dy)


# fmt: off
network.row(60, "SameDy", "every layer gets the network's dy", Sequential,
    {"backward": lambda self, dy:
     [layer.backward(dy) for layer in reversed(self.layers)][-1], "backward_parameters": Layer.backward_parameters},
    tensor="0.weight")
# fmt: on
