"""The contracts of classes that draw random numbers: initializers and augmentations."""

from collections.abc import Callable, Iterator

import numpy as np

from minidl._core.types import Array
from minidl.data.augmentation import Augmentation
from minidl.nn.initializers import Initializer
from minidl.testing.contract import Contract, Shape, as_shape, require, require_equal, sample


def check_initializer_contract(make: Callable[[], Initializer]) -> None:
    """Check that the initializers of `make` keep the contract of `Initializer`; see `check_optimizer_contract`.

    Examples
    --------
    >>> from minidl import Normal
    >>> check_initializer_contract(lambda: Normal(0.01))
    """
    InitializerContract(make)._check()


class InitializerContract(Contract):
    _kind = Initializer

    def draws_finite_float64_of_the_shape(self) -> None:
        for shape in ((4, 3), (1, 1), (3, 2, 5, 4)):
            draw = self._make()(shape, np.random.default_rng(0))
            require(isinstance(draw, np.ndarray), f"expected an array, got {type(draw).__name__}")
            require(draw.shape == shape, f"expected an array of shape {shape}, got {draw.shape}")
            require(draw.dtype == np.float64, f"expected float64 (the parameter rounds it), got {draw.dtype}")
            require(np.isfinite(draw).all(), f"expected finite numbers, got {draw}")

    def same_seed_same_draw(self) -> None:
        initializer = self._make()
        first, second = (initializer((4, 3), np.random.default_rng(5)) for _ in range(2))
        require_equal("a second draw from the same seed", second, first)
        require_equal("a draw of another instance from it", self._make()((4, 3), np.random.default_rng(5)), first)

    def each_draw_is_a_new_array(self) -> None:
        initializer, rng = self._make(), np.random.default_rng(0)
        first, second = initializer((4, 3), rng), initializer((4, 3), rng)
        require(not np.shares_memory(first, second), "expected a new array for each draw, got the same memory twice")


def check_augmentation_contract(make: Callable[[], Augmentation], image_shape: Shape = (6, 5, 3)) -> None:
    """Check that the augmentations of `make` keep the contract of `Augmentation`.

    Parameters
    ----------
    make : callable
        Returns a new augmentation, the same each time.
    image_shape : tuple of int
        (height, width, channels) of images it takes.

    Raises
    ------
    InputError, ContractError
        As for `check_optimizer_contract`.

    Examples
    --------
    >>> from minidl import Mirror
    >>> check_augmentation_contract(Mirror)
    """
    AugmentationContract(make, image_shape)._check()


class AugmentationContract(Contract):
    _kind = Augmentation

    def __init__(self, make: Callable[[], Augmentation], image_shape: Shape = (6, 5, 3)) -> None:
        super().__init__(make)
        self._shape = as_shape("image_shape", image_shape)

    def draws_depend_on_the_generator_alone_row_by_row(self) -> None:
        most = _draw(self._make(), 40)
        for n in (40, 0, 1, 2, 17):
            name = f"draws for {n} images, and for the first {n} of 40 images from the same seed"
            _require_same(name, _draw(self._make(), n), most[:n])

    def results_are_new_and_of_the_same_dtype(self) -> None:
        for images, draws in self._batches():
            got = self._make().apply(images, draws)
            require(got.dtype == images.dtype, f"expected images of dtype {images.dtype}, got {got.dtype}")
            require(got.ndim == 4 and len(got) == len(images), f"expected {len(images)} images, got {got.shape}")
            require(not np.shares_memory(got, images), "expected a new array, got one that shares memory with images")

    def images_do_not_mix(self) -> None:
        for images, draws in self._batches():
            together = self._make().apply(images, draws)
            for rows in ([0], [3, 1], [], list(range(len(images)))[::-1]):
                apart = self._make().apply(images[rows], draws[rows])
                _require_same(f"images {rows} alone, and within their batch", apart, together[rows])

    def memory_order_of_images_changes_nothing(self) -> None:
        for images, draws in self._batches():
            expected = self._make().apply(images, draws)
            for order, other in (("F", np.asfortranarray(images)), ("strided", np.repeat(images, 2, axis=0)[::2])):
                _require_same(f"images in {order} and in C order", self._make().apply(other, draws), expected)

    def _batches(self) -> Iterator[tuple[Array, Array]]:
        """Yield read-only images of each dtype, and their draws."""
        pixels = np.random.default_rng(1).integers(0, 256, (9, *self._shape)).astype(np.uint8)
        pixels.flags.writeable = False
        for images in (*(sample((9, *self._shape), 1, dtype) for dtype in (np.float32, np.float64)), pixels):
            yield images, _draw(self._make(), len(images))


def _draw(augmentation: Augmentation, n: int) -> Array:
    draws = augmentation.draw(n, np.random.default_rng(7))
    require(isinstance(draws, np.ndarray), f"draw: expected it to return an array, got {type(draws).__name__}")
    require(draws.shape[:1] == (n,), f"draw: expected {n} rows, one per image, got shape {draws.shape}")
    return draws


def _require_same(name: str, got: Array, expected: Array) -> None:
    require(np.array_equal(got, expected), f"{name}: expected equal results, bit for bit")
