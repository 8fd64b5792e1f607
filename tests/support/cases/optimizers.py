"""Instances of optimizers."""

from typing import Any

from hypothesis import strategies as st

from minidl.training.optimizers import SGD, Adagrad, Adam, AdamW, NAdam, RMSProp
from minidl.training.optimizers.schedules import CosineAnnealing, Schedule, StepDecay

_SCHEDULES = (StepDecay(0.1, factor=0.5, every=2), CosineAnnealing(0.01, steps=100))
RATES: st.SearchStrategy[float | Schedule] = st.one_of(st.sampled_from([0.5, 0.001]), st.sampled_from(_SCHEDULES))
CLIPPING = st.sampled_from([{}, {"clip_norm": 1.0}, {"clip_value": 0.5}])
FRACTIONS = st.sampled_from([0.0, 0.5, 0.9])


@st.composite
def _optimizers(draw: st.DrawFn, /, cls: type, **options: st.SearchStrategy[Any]) -> Any:
    drawn = {name: draw(strategy) for name, strategy in options.items()}
    return cls(draw(RATES), **drawn, **draw(CLIPPING))


_BETAS = {"beta1": FRACTIONS, "beta2": st.sampled_from([0.5, 0.999])}

INSTANCES: dict[type, st.SearchStrategy[Any]] = {
    SGD: st.one_of(_optimizers(SGD), _optimizers(SGD, momentum=st.sampled_from([0.5, 0.9]), nesterov=st.booleans())),
    Adagrad: _optimizers(Adagrad),
    RMSProp: _optimizers(RMSProp, rho=st.sampled_from([0.9, 0.99]), momentum=st.sampled_from([0.0, 0.5])),
    Adam: _optimizers(Adam, **_BETAS),
    AdamW: _optimizers(AdamW, **_BETAS, weight_decay=st.sampled_from([0.0, 0.01, 0.5])),
    NAdam: _optimizers(NAdam, **_BETAS),
}
