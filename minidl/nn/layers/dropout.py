"""Dropout: noise during training that stops units from relying on each other."""

import numpy as np

from minidl._core.checks import as_fraction
from minidl._core.randomness import as_seed, keyed_generator
from minidl._core.types import Array, Seed
from minidl.nn.layers.base import Layer


class Dropout(Layer):
    """Inverted dropout: in training ``y = x * mask / (1 - rate)``, in prediction ``y = x``; for x of any shape.

    Each entry of the mask is 0 with probability `rate`, else 1, so y is x on average. Gradient:
    ``dx = dy * mask / (1 - rate)``.

    The mask of training forward k depends only on the seed, k and the shape of x. The buffer `forwards` counts k, so a
    resumed run draws exactly the same masks.

    Parameters
    ----------
    rate : float
        Share of entries to drop, at least 0 and below 1.
    rng : int, Generator or None
        The seed; or a generator to draw the seed from, or None for a random seed. Give each layer of a network its own
        seed, or pass one generator to all of them: the same seed draws the same masks.

    Raises
    ------
    InputError
        From the constructor, if `rate` is out of range.
    ShapeError
        From `backward`, if dy does not fit.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> Dropout(0.5, rng=2).forward(np.ones((2, 4)), train=True)
    array([[0., 2., 2., 0.],
           [2., 2., 0., 0.]])
    """

    seed: int
    forwards: Array

    saved_attributes = ("seed",)
    keeps_values = True
    # The mask of a row depends on the row's place in the batch.
    batch_independent = False

    def __init__(self, rate: float, *, rng: Seed = None) -> None:
        super().__init__()
        self.rate = as_fraction("rate", rate)
        self.seed = as_seed(rng)
        self.forwards = self.add_buffer("forwards", 0, dtype=np.int64)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x)
        if not train:
            return x
        if self.rate == 0.0:
            self.keep(x, y_shape=x.shape)
            return x
        rng = keyed_generator(self.seed, "dropout", int(self.forwards))
        self.forwards += 1
        # Always draw in float32, so that a copy of the network in another dtype drops the same entries.
        mask = rng.random(x.shape, dtype=np.float32) >= self.rate
        scaled_mask = np.multiply(mask, 1.0 / (1.0 - self.rate), dtype=x.dtype)
        self.keep(scaled_mask, y_shape=x.shape)
        return x * scaled_mask

    def backward(self, dy: Array) -> Array:
        (kept,) = self.kept(dy)
        if self.rate == 0.0:
            return dy
        return np.multiply(dy, kept, dtype=dy.dtype)
