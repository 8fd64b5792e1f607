"""Right layers as users write them, each of the shape of a row: `RIGHT` has them with shapes to make them of."""

import numpy as np
from hypothesis import strategies as st

import minidl as dl


class Own(dl.Layer):
    """A layer in two formulas: ``f(x, train) -> y, *kept`` and ``b(dy, *kept) -> dx, *gradients`` of its parameters."""

    def __init__(self, *parameters):
        for i, value in enumerate(parameters):
            self.add_parameter(f"p{i}", value)

    @property
    def p(self):
        return [parameter.value for parameter in self._parameters.values()]

    def forward(self, x, train=False):
        y, *kept = self.f(x, train)
        if train:
            self.keep(*kept)
        return y.astype(x.dtype)

    def backward(self, dy):
        dx, *gradients = self.b(dy, *self.kept())
        for parameter, gradient in zip(self._parameters.values(), gradients, strict=True):
            parameter.add_grad(gradient.astype(parameter.value.dtype))
        return dx.astype(dy.dtype)


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


RIGHT = {}
PAIRS = st.tuples(st.integers(2, 4), st.integers(1, 3))
IMAGES = st.tuples(*[st.integers(1, 3)] * 3)


def right(shape=5, shapes=None):
    """Add a class to RIGHT, with a shape for its contract and a strategy of shapes for its property."""

    def add(cls):
        RIGHT[cls.__name__] = (cls, shape, shapes)
        return cls

    return add


@right()
class Gain(Own):
    def __init__(self, n):
        super().__init__(weights(n))

    def f(self, x, train):
        return x * self.p[0], x

    def b(self, dy, x):
        return dy * self.p[0], (dy * x).sum(axis=0)


@right()
class GaussianDropout(Own):
    def __init__(self, n):
        super().__init__()
        self.rng = np.random.default_rng(7)

    def f(self, x, train):
        noise = 1 + 0.5 * self.rng.normal(size=x.shape) if train else np.ones(x.shape)
        return x * noise, noise

    def b(self, dy, noise):
        return (dy * noise,)


@right()
class DropRows(Own):
    batch_independent = False

    def __init__(self, n):
        super().__init__()
        self.rng = np.random.default_rng(7)

    def f(self, x, train):
        kept = 2.0 * (self.rng.random((len(x), 1)) < 0.5) if train else np.ones((len(x), 1))
        return x * kept, kept

    def b(self, dy, kept):
        return (dy * kept,)


@right()
class RunningCentre(Own):
    """Subtracts the mean of the batch, in prediction the running one."""

    batch_independent = False

    def __init__(self, n):
        super().__init__()
        self.mean = self.add_buffer("mean", np.zeros(n))

    def f(self, x, train):
        if not train:
            return x - self.mean, None
        self.mean += 0.1 * (x.mean(axis=0) - self.mean)
        return x - x.mean(axis=0), None

    def b(self, dy, _):
        return (dy - dy.mean(axis=0),)


@right()
class CentreBatch(Own):
    batch_independent = False

    def __init__(self, n):
        super().__init__()

    def f(self, x, train):
        return x - x.mean(axis=0), None

    def b(self, dy, _):
        return (dy - dy.mean(axis=0),)


@right()
class TopTwo(Own):
    """The two largest of each row, the others 0."""

    def __init__(self, n):
        super().__init__()

    def f(self, x, train):
        mask = np.zeros(x.shape)
        np.put_along_axis(mask, np.argsort(-x, axis=1, kind="stable")[:, :2], 1.0, axis=1)
        return x * mask, mask

    def b(self, dy, mask):
        return (dy * mask,)


@right()
class Sorted(Own):
    def __init__(self, n):
        super().__init__()

    def f(self, x, train):
        order = np.argsort(x, axis=1, kind="stable")
        return np.take_along_axis(x, order, axis=1), order

    def b(self, dy, order):
        dx = np.empty_like(dy)
        np.put_along_axis(dx, order, dy, axis=1)
        return (dx,)


@right()
class LeakyClip(Own):
    def __init__(self, n):
        super().__init__()

    def f(self, x, train):
        inside = np.clip(x, -1, 1)
        return 0.9 * inside + 0.1 * x, np.where(np.abs(x) < 1, 1.0, 0.1)

    def b(self, dy, slope):
        return (dy * slope,)


@right()
class Flat(Own):
    """Hands on a view of x, and one of dy."""

    def __init__(self, n):
        super().__init__()

    def forward(self, x, train=False):
        if train:
            self.keep(x.shape)
        return x.reshape(len(x), -1)

    def b(self, dy, shape):
        return (dy.reshape(shape),)

    def backward(self, dy):
        return self.b(dy, *self.kept())[0]


@right()
class RMSNorm(Own):
    def __init__(self, n):
        super().__init__(weights(n))

    def f(self, x, train):
        r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-3)
        return x * r * self.p[0], x, r

    def b(self, dy, x, r):
        d = dy * self.p[0]
        return r * d - r**3 * x * (d * x).mean(axis=1, keepdims=True), (dy * x * r).sum(axis=0)


@right()
class GLU(Own):
    def __init__(self, n):
        super().__init__(weights(n, 3), weights(n, 3, seed=1))

    def f(self, x, train):
        a, s = x @ self.p[0], sigmoid(x @ self.p[1])
        return a * s, x, a, s

    def b(self, dy, x, a, s):
        da, dz = dy * s, dy * a * s * (1 - s)
        return da @ self.p[0].T + dz @ self.p[1].T, x.T @ da, x.T @ dz

    def output_shape(self, shape):
        return (3,)


@right()
class PReLU(Own):
    def __init__(self, n):
        super().__init__(np.full(n, 0.25))

    def f(self, x, train):
        return np.where(x > 0, x, self.p[0] * x), x

    def b(self, dy, x):
        return np.where(x > 0, dy, self.p[0] * dy), (dy * np.minimum(x, 0)).sum(axis=0)


@right()
class SharpSoftplus(Own):
    """``log(1 + exp(beta x)) / beta`` with a beta that is trained."""

    def __init__(self, n):
        super().__init__([1.5])

    def f(self, x, train):
        y = np.logaddexp(0, self.p[0] * x) / self.p[0]
        return y, x, y

    def b(self, dy, x, y):
        s = sigmoid(self.p[0] * x)
        return dy * s, np.array([(dy * (x * s - y)).sum() / self.p[0][0]])


@right()
class Swish(Own):
    def __init__(self, n):
        super().__init__(np.full(n, 0.75))

    def f(self, x, train):
        s = sigmoid(self.p[0] * x)
        return x * s, x, s

    def b(self, dy, x, s):
        return dy * (s + self.p[0] * x * s * (1 - s)), (dy * x * x * s * (1 - s)).sum(axis=0)


@right()
class Maxout(Own):
    def __init__(self, n):
        super().__init__(weights(n, 3), weights(n, 3, seed=1))

    def f(self, x, train):
        a, b = (x @ w for w in self.p)
        return np.maximum(a, b), x, a > b

    def b(self, dy, x, first):
        da, db = dy * first, dy * ~first
        return da @ self.p[0].T + db @ self.p[1].T, x.T @ da, x.T @ db

    def output_shape(self, shape):
        return (3,)


@right()
class WeightNorm(Own):
    """A dense layer whose columns have trained lengths."""

    def __init__(self, n):
        super().__init__(weights(n, 3), np.array([1.0, 2.0, 0.5]))

    def f(self, x, train):
        return x @ (self.p[0] * self.p[1] / np.linalg.norm(self.p[0], axis=0)), x

    def b(self, dy, x):
        v, g = self.p
        length = np.linalg.norm(v, axis=0)
        dw = x.T @ dy
        dg = (dw * v).sum(axis=0) / length
        return dy @ (v * g / length).T, g / length * (dw - dg * v / length), dg

    def output_shape(self, shape):
        return (3,)


@right()
class Tied(Own):
    """An autoencoder of one weight: ``tanh(x w) w.T``."""

    def __init__(self, n):
        super().__init__(0.5 * weights(n, 2))

    def f(self, x, train):
        h = np.tanh(x @ self.p[0])
        return h @ self.p[0].T, x, h

    def b(self, dy, x, h):
        dz = dy @ self.p[0] * (1 - h * h)
        return dz @ self.p[0].T, x.T @ dz + dy.T @ h


@right()
class Bilinear(Own):
    def __init__(self, n):
        super().__init__(weights(n, n))

    def f(self, x, train):
        return ((x @ self.p[0]) * x).sum(axis=1, keepdims=True), x

    def b(self, dy, x):
        return dy * (x @ (self.p[0] + self.p[0].T)), (dy * x).T @ x

    def output_shape(self, shape):
        return (1,)


@right()
class Prototypes(Own):
    """Squared distances to trained points."""

    def __init__(self, n):
        super().__init__(weights(3, n))

    def f(self, x, train):
        apart = x[:, None] - self.p[0]
        return (apart**2).sum(axis=2), apart

    def b(self, dy, apart):
        d = 2 * dy[..., None] * apart
        return d.sum(axis=1), -d.sum(axis=0)

    def output_shape(self, shape):
        return (3,)


@right((4, 3), PAIRS)
class Positions(Own):
    def __init__(self, shape):
        super().__init__(weights(*shape))

    def f(self, x, train):
        return x + self.p[0], None

    def b(self, dy, _):
        return dy.copy(), dy.sum(axis=0)


@right((4, 3), PAIRS)
class MaxOverTime(Own):
    def __init__(self, shape):
        super().__init__()

    def f(self, x, train):
        best = x.argmax(axis=1)[:, None]
        return np.take_along_axis(x, best, axis=1)[:, 0], best, x.shape

    def b(self, dy, best, shape):
        dx = np.zeros(shape)
        np.put_along_axis(dx, best, dy[:, None], axis=1)
        return (dx,)

    def output_shape(self, shape):
        return shape[1:]


@right((4, 3), PAIRS)
class Attention(Own):
    def __init__(self, shape):
        super().__init__(weights(shape[1], shape[1]))

    def f(self, x, train):
        scores = x @ self.p[0] @ x.swapaxes(1, 2)
        a = np.exp(scores - scores.max(axis=2, keepdims=True))
        a /= a.sum(axis=2, keepdims=True)
        return a @ x, x, a

    def b(self, dy, x, a):
        da = dy @ x.swapaxes(1, 2)
        ds = a * (da - (da * a).sum(axis=2, keepdims=True))
        dx = a.swapaxes(1, 2) @ dy + ds @ x @ self.p[0].T + ds.swapaxes(1, 2) @ x @ self.p[0]
        return dx, np.einsum("nid,nij,nje->de", x, ds, x)


@right((5, 3), PAIRS)
class Conv(Own):
    """A causal convolution along the steps, with a kernel of two."""

    def __init__(self, shape):
        super().__init__(weights(2, shape[1], 2))

    def put(self, dx, i, part):
        dx[:, i : i + part.shape[1]] += part

    def f(self, x, train):
        padded = np.concatenate([np.zeros_like(x[:, :1]), x], axis=1)
        return sum(padded[:, i : i + x.shape[1]] @ self.p[0][i] for i in range(2)), padded

    def b(self, dy, padded):
        dx, steps = np.zeros_like(padded), dy.shape[1]
        for i in range(2):
            self.put(dx, i, dy @ self.p[0][i].T)
        return dx[:, 1:], np.stack([np.einsum("nsc,nso->co", padded[:, i : i + steps], dy) for i in range(2)])

    def output_shape(self, shape):
        return (shape[0], 2)


@right((4, 3), PAIRS)
class SimpleRNN(Own):
    def __init__(self, shape):
        super().__init__(0.5 * weights(shape[1], 2), 0.5 * weights(2, 2, seed=1))

    def add(self, total, part, last):
        return total + part

    def f(self, x, train):
        states = [np.zeros((len(x), 2))]
        for t in range(x.shape[1]):
            states.append(np.tanh(x[:, t] @ self.p[0] + states[-1] @ self.p[1]))
        return np.stack(states[1:], axis=1), x, states

    def b(self, dy, x, states):
        dx, (w, u), dh = np.zeros(x.shape), self.p, 0
        dw, du = np.zeros(w.shape), np.zeros(u.shape)
        for t in reversed(range(x.shape[1])):
            dz = (dy[:, t] + dh) * (1 - states[t + 1] ** 2)
            dw, du = dw + x[:, t].T @ dz, self.add(du, states[t].T @ dz, t == x.shape[1] - 1)
            dx[:, t], dh = dz @ w.T, dz @ u.T
        return dx, dw, du

    def output_shape(self, shape):
        return (shape[0], 2)


@right((3, 2, 4), IMAGES)
class SqueezeExcite(Own):
    """Channels times a gate of their means, with a ReLU inside."""

    def __init__(self, shape):
        super().__init__(weights(shape[2], 2), weights(2, shape[2], seed=1))

    def f(self, x, train):
        h = x.mean(axis=(1, 2)) @ self.p[0]
        s = sigmoid(np.maximum(h, 0) @ self.p[1])
        return x * s[:, None, None], x, h, s

    def b(self, dy, x, h, s):
        dz = (dy * x).sum(axis=(1, 2)) * s * (1 - s)
        dh = dz @ self.p[1].T * (h > 0)
        dx = dy * s[:, None, None] + (dh @ self.p[0].T)[:, None, None] / (x.shape[1] * x.shape[2])
        return dx, x.mean(axis=(1, 2)).T @ dh, np.maximum(h, 0).T @ dz
