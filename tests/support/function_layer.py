"""A layer without parameters, written as a function and its vector-Jacobian product."""

from minidl import Layer


def function_layer(f, vjp, **attributes):
    """Return a layer with ``forward(x) = f(x)`` and ``backward(dy) = vjp(dy, x)``."""

    class Function(Layer):
        def forward(self, x, train=False):
            if train:
                self.keep(x)
            return f(x)

        def backward(self, dy):
            return vjp(dy, *self.kept())

    return type("Function", (Function,), attributes)()


def center():
    """Return a layer that takes the mean over the batch away."""
    return function_layer(lambda x: x - x.mean(axis=0), lambda dy, x: dy - dy.mean(axis=0), batch_independent=False)
