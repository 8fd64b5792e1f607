"""Each augmentation against loops over every pixel, and the distribution of its draws."""

import copy

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import Augmentation, Brightness, Contrast, Cutout, InputError, Mirror, RandomCrop, ShapeError, Shift
from minidl.testing import ContractError, batches, check_augmentation_contract

CLASSES = [
    thing
    for name in dl.__all__
    if isinstance(thing := getattr(dl, name), type) and issubclass(thing, Augmentation) and thing is not Augmentation
]
SHAPES = st.tuples(st.integers(3, 6), st.integers(3, 5), st.integers(1, 3))
FLOATS = SHAPES.flatmap(lambda shape: batches(shape))
PIXELS = SHAPES.flatmap(lambda shape: batches(shape, dtype=np.float64)).map(
    lambda x: (np.round(x * 640) % 256).astype(np.uint8)
)
IMAGES = FLOATS | PIXELS
SEEDS = st.integers(0, 1000)


def drawn(augmentation, images, seed):
    return augmentation.draw(len(images), np.random.default_rng(seed))


def pixel(image, y, x, fill):
    inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
    return image[y, x] if inside else np.full(image.shape[2], fill, image.dtype)


# ---- the contract, and the detection of faults


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_augmentation_keeps_the_contract(cls):
    @given(strategy_for(cls), SHAPES)
    def keeps_it(augmentation, shape):
        check_augmentation_contract(lambda: copy.copy(augmentation), shape)

    keeps_it()


def mean_of_the_batch(images, draws):
    mean = images.mean(dtype=np.float64) if images.size else 0.0
    return (mean + draws[:, None, None, None] * (images - mean)).astype(images.dtype)


def mirrored_in_place(images, draws):
    images[draws] = images[draws, :, ::-1]
    return images


# For each fault: a correct augmentation, the replaced method, its replacement, and the check that finds it.
FAULTS = {
    "draws by a global state": (Mirror(), "draw", lambda n, rng: np.random.random(n) < 0.5, "alone_row_by_row"),  # noqa: NPY002
    "draws in two streams": (
        Shift(2), "draw", lambda n, rng: np.stack([rng.integers(-2, 3, n), rng.integers(-2, 3, n)], axis=1),
        "alone_row_by_row",
    ),
    "mean of the batch": (Contrast(1), "apply", mean_of_the_batch, "images_do_not_mix"),
    "in place": (Mirror(), "apply", mirrored_in_place, "results_are_new_and_of_the_same_dtype"),
    "doubles": (
        Brightness(1), "apply", lambda images, draws: images + draws[:, None, None, None],
        "results_are_new_and_of_the_same_dtype",
    ),
    "memory order": (
        Brightness(0), "apply", lambda images, draws: images.ravel("K").reshape(images.shape).copy(),
        "memory_order_of_images_changes_nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("right", "method", "rule", "check"), FAULTS.values(), ids=FAULTS)
def test_a_broken_contract_is_found(right, method, rule, check):
    def make():
        broken = copy.copy(right)
        setattr(broken, method, rule)
        return broken

    with pytest.raises(ContractError, match=check):
        check_augmentation_contract(make)


# ---- the changed images


@given(IMAGES)
def test_mirror_swaps_left_and_right_and_is_its_own_inverse(images):
    mirrored = Mirror(1)(images)
    for i, y, x in np.ndindex(images.shape[:3]):
        assert (mirrored[i, y, x] == images[i, y, images.shape[2] - 1 - x]).all()
    np.testing.assert_array_equal(Mirror(1)(mirrored), images)
    np.testing.assert_array_equal(Mirror(0)(images), images)


@given(IMAGES, st.integers(0, 7), st.sampled_from([0.0, 7.0]), SEEDS)
def test_shift_equals_loops(images, pixels, fill, seed):
    shift = Shift(pixels, fill)
    moves = drawn(shift, images, seed)
    result = shift(images, seed)
    assert result.shape == images.shape
    for i, y, x in np.ndindex(images.shape[:3]):
        down, right = moves[i]
        assert (result[i, y, x] == pixel(images[i], y - down, x - right, fill)).all()
    if pixels == 0:
        np.testing.assert_array_equal(result, images)


@given(IMAGES, st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(0, 3), SEEDS)
def test_a_crop_is_a_window_of_the_padded_image_at_the_drawn_place(images, size, padding, seed):
    crop = RandomCrop(size, padding, fill=7)
    ways = np.subtract(images.shape[1:3], size) + 2 * padding + 1
    corners = np.floor(drawn(crop, images, seed) * ways).astype(int) - padding
    result = crop(images, seed)
    assert result.shape == (len(images), *size, images.shape[3])
    for i, y, x in np.ndindex(result.shape[:3]):
        assert (result[i, y, x] == pixel(images[i], corners[i, 0] + y, corners[i, 1] + x, 7)).all()


@given(IMAGES, st.integers(1, 9), SEEDS)
def test_cutout_covers_a_clipped_square_and_nothing_else(images, size, seed):
    cutout = Cutout(size, fill=7)
    centres = np.floor(drawn(cutout, images, seed) * images.shape[1:3]).astype(int)
    result = cutout(images, seed)
    for i, y, x in np.ndindex(images.shape[:3]):
        top, left = centres[i] - size // 2
        covered = top <= y < top + size and left <= x < left + size
        expected = np.full(images.shape[3], 7, images.dtype) if covered else images[i, y, x]
        assert (result[i, y, x] == expected).all()


@given(FLOATS, SEEDS)
def test_brightness_adds_and_contrast_stretches_about_the_mean(images, seed):
    tolerance = 1e-5 if images.dtype == np.float32 else 1e-12
    brightness, contrast = Brightness(2.5), Contrast(0.5)
    added, factors = (drawn(a, images, seed)[:, None, None, None] for a in (brightness, contrast))
    exact = images.astype(np.float64)
    np.testing.assert_allclose(brightness(images, seed), exact + added, rtol=tolerance, atol=tolerance)
    means = np.array([[[[image.sum() / image.size]]] for image in exact])
    np.testing.assert_allclose(contrast(images, seed), means + factors * (exact - means), rtol=0, atol=10 * tolerance)


@given(PIXELS, SEEDS)
def test_bytes_are_rounded_and_saturate(images, seed):
    for augmentation in (Brightness(300), Contrast(1)):
        exact = augmentation.apply(images.astype(np.float64), drawn(augmentation, images, seed))
        result = augmentation(images, seed)
        assert result.dtype == np.uint8
        assert np.abs(result - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("augmentation", [Shift(1, 2), RandomCrop(3, 1, 2), Cutout(2, 2), Brightness(1), Contrast(1)])
@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.longdouble])
def test_unusual_floats_keep_their_dtype(augmentation, dtype):
    images = np.arange(54.0).reshape(2, 3, 3, 3).astype(dtype)
    result = augmentation(images, 0)
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_allclose(result.astype(float), augmentation(images.astype(float), 0), rtol=2e-3, atol=0.05)


# ---- the draws

N = 100_000


def draws(augmentation):
    return augmentation.draw(N, np.random.default_rng(5))


def near(share, expected):
    """Return whether a fraction of N draws is within 4.5 standard deviations."""
    return abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / N)


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.25, 1.0])
def test_mirror_comes_with_its_probability(probability):
    share = draws(Mirror(probability)).mean()
    assert share == probability if probability in (0, 1) else near(share, probability)


def test_all_shifts_are_equally_likely_and_both_ways_independent():
    moves = draws(Shift(2))
    assert moves.min() == -2
    assert moves.max() == 2
    counts = np.bincount((moves[:, 0] + 2) * 5 + moves[:, 1] + 2, minlength=25)
    assert all(near(count / N, 1 / 25) for count in counts)


def test_all_crops_and_all_centres_of_squares_are_equally_likely():
    where = np.repeat(np.arange(12.0).reshape(1, 3, 4, 1), N, axis=0)
    corners = RandomCrop(1, padding=1, fill=-1)(where, 1).ravel()
    counts = np.bincount(corners.astype(int) + 1, minlength=13)
    assert near(counts[0] / N, 18 / 30)  # the border
    assert all(near(count / N, 1 / 30) for count in counts[1:])
    blanked = Cutout(1, fill=-1)(where, 1) == -1
    assert (blanked.sum(axis=(1, 2, 3)) == 1).all()
    assert all(near(share, 1 / 12) for share in blanked.mean(axis=0).ravel())


@pytest.mark.parametrize(("augmentation", "middle"), [(Brightness(3), 0.0), (Contrast(0.4), 1.0)])
def test_amounts_are_uniform_about_the_middle(augmentation, middle):
    scaled = (draws(augmentation) - middle) / augmentation.amount
    assert abs(scaled).max() <= 1
    counts, _ = np.histogram(scaled, bins=10, range=(-1, 1))
    assert all(near(count / N, 0.1) for count in counts)


# ---- wrong use


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 12)), r"got \(2, 12\); turn flat rows into images: dataset.map\(images_from_rows\)"),
        (np.zeros((2, 3, 4)), r"expected images of shape \(n, height, width, channels\), got \(2, 3, 4\)$"),
        (np.zeros((2, 3, 4, 1), int), "floating-point numbers or uint8, got dtype int64"),
        (np.zeros((2, 3, 4, 1), bool), "got dtype bool"),
        (None, "got NoneType"),
    ],
)
def test_inputs_other_than_images_are_refused(images, words):
    with pytest.raises(InputError, match=words):
        Mirror()(images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mirror(1.5), r"probability: expected a number in \[0, 1\], got 1.5"),
        (lambda: Mirror(-0.1), r"probability: expected a number in \[0, 1\]"),
        (lambda: Shift(-1), "pixels: expected an integer >= 0"),
        (lambda: Shift(1, np.nan), "fill: expected a finite number"),
        (lambda: RandomCrop(0), "size: expected an integer >= 1"),
        (lambda: RandomCrop((1, 2, 3)), r"size: expected an integer or a pair \(height, width\)"),
        (lambda: RandomCrop(2, 1, "black"), "fill: expected a finite number"),
        (lambda: Brightness(-1), "amount: expected a finite number >= 0"),
        (lambda: Contrast(1.01), r"amount: expected a number in \[0, 1\]"),
    ],
)
def test_wrong_arguments_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("fill", [0.5, -1, 256])
@pytest.mark.parametrize("make", [lambda f: Shift(1, f), lambda f: RandomCrop(2, 1, f), lambda f: Cutout(1, f)])
def test_a_fill_that_bytes_cannot_hold_is_refused(make, fill):
    with pytest.raises(InputError, match=r"expected fill to be an integer in 0\.\.255"):
        make(fill)(np.zeros((1, 3, 3, 1), np.uint8))


def test_a_window_larger_than_the_image_is_refused():
    with pytest.raises(ShapeError, match=r"RandomCrop\(\(4, 6\), padding=1\): .* larger .* \(5, 5\)"):
        RandomCrop((4, 6), 1)(np.zeros((1, 3, 3, 1)))
