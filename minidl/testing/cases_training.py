"""Instances of optimizers and initializers."""

from typing import Any

from hypothesis import strategies as st

from minidl.initializers import Constant, He, Normal, Uniform, Xavier, Zeros
from minidl.optimizers import SGD

INSTANCES: dict[type, st.SearchStrategy[Any]] = {
    SGD: st.builds(SGD, st.sampled_from([0.5, 0.001, 1.0])),
    Normal: st.builds(Normal, st.sampled_from([0.01, 1.0, 0.0])),
    Uniform: st.builds(Uniform, st.sampled_from([-1.0, 0.0]), st.sampled_from([0.0, 2.0])),
    Constant: st.builds(Constant, st.sampled_from([0.0, -1.5])),
    **{cls: st.builds(cls) for cls in (Zeros, Xavier, He)},
}
