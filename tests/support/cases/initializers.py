"""Instances of initializers."""

from typing import Any

from hypothesis import strategies as st

from minidl.nn.initializers import Constant, He, LeCun, Normal, Orthogonal, Uniform, Xavier, Zeros

INSTANCES: dict[type, st.SearchStrategy[Any]] = {
    Normal: st.builds(Normal, st.sampled_from([0.01, 1.0, 0.0])),
    Uniform: st.builds(Uniform, st.sampled_from([-1.0, 0.0]), st.sampled_from([0.0, 2.0])),
    Orthogonal: st.builds(Orthogonal, st.sampled_from([1.0, 1.5])),
    Constant: st.builds(Constant, st.sampled_from([0.0, -1.5])),
    **{cls: st.builds(cls) for cls in (Zeros, Xavier, He, LeCun)},
}
