"""Instances of augmentations, for images of at least 3x3 pixels."""

from typing import Any

from hypothesis import strategies as st

from minidl.data.augmentation import Brightness, Contrast, Cutout, Mirror, RandomCrop, Shift

_SMALL = st.integers(0, 3)
_FILLS = st.sampled_from([0.0, 7.0])
_SHARES = st.sampled_from([0.0, 0.5, 1.0])

INSTANCES: dict[type, st.SearchStrategy[Any]] = {
    Mirror: st.builds(Mirror, _SHARES),
    Shift: st.builds(Shift, _SMALL, _FILLS),
    RandomCrop: st.builds(RandomCrop, st.integers(1, 3) | st.tuples(*[st.integers(1, 3)] * 2), _SMALL, _FILLS),
    Cutout: st.builds(Cutout, st.integers(1, 8), _FILLS),
    Brightness: st.builds(Brightness, st.sampled_from([0.0, 0.25, 30.0])),
    Contrast: st.builds(Contrast, _SHARES),
}
