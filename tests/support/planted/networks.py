"""Sequential: bugs in the way back through its layers."""

from minidl import Dense, Layer, ReLU, Sequential
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, X, family

network_class = family("layer", lambda c: (c(Dense(4, 4, rng=0), ReLU(), Dense(4, 4, rng=1)), X))


@network_class(60, "backward runs through the layers from the front", FAIL_VALUE, tensor="0.weight")
class FromTheFront(Sequential):
    def backward(self, dy):
        for layer in self.layers:
            dy = layer.backward(dy)
        return dy

    backward_parameters = Layer.backward_parameters


@network_class(60, "every layer gets the network's dy", FAIL_VALUE, tensor="0.weight")
class SameDy(Sequential):
    def backward(self, dy):
        return [layer.backward(dy) for layer in reversed(self.layers)][-1]

    backward_parameters = Layer.backward_parameters


@network_class(60, "backward passes by the activations", FAIL_VALUE, tensor="0.weight")
class PassesByReLU(Sequential):
    def backward(self, dy):
        self.layers[1].backward(dy)
        return self.layers[0].backward(self.layers[2].backward(dy))

    backward_parameters = Layer.backward_parameters


@network_class(60, "backward leaves the first layer out", FAIL_VALUE, tensor="0.weight")
class LeavesFirstOut(Sequential):
    def backward(self, dy):
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        return dy

    backward_parameters = backward


@network_class(68, "`backward_parameters` reaches the last layer alone", FAIL_CONTRACT)
class LastLayerAlone(Sequential):
    def backward_parameters(self, dy):
        self.layers[-1].backward_parameters(dy)
