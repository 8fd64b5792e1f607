"""Instances of optimizers, initializers and augmentations; the last ones for images of at least 3x3 pixels."""

from hypothesis import strategies as st

import minidl as dl

RATES = st.sampled_from([0.5, 0.001, dl.StepDecay(0.1, factor=0.5, every=2), dl.CosineAnnealing(0.01, steps=100)])
CLIPPING = st.sampled_from([{}, {"clip_norm": 1.0}, {"clip_value": 0.5}])
BETAS = {"beta1": st.sampled_from([0.0, 0.5, 0.9]), "beta2": st.sampled_from([0.5, 0.999])}
SMALL = st.integers(0, 3)
FILLS = st.sampled_from([0.0, 7.0])
SHARES = st.sampled_from([0.0, 0.5, 1.0])


@st.composite
def optimizers(draw, /, cls, **options):
    return cls(draw(RATES), **{name: draw(option) for name, option in options.items()}, **draw(CLIPPING))


INSTANCES = {
    dl.SGD: optimizers(dl.SGD) | optimizers(dl.SGD, momentum=st.sampled_from([0.5, 0.9]), nesterov=st.booleans()),
    dl.Adagrad: optimizers(dl.Adagrad),
    dl.RMSProp: optimizers(dl.RMSProp, rho=st.sampled_from([0.9, 0.99]), momentum=st.sampled_from([0.0, 0.5])),
    dl.Adam: optimizers(dl.Adam, **BETAS),
    dl.AdamW: optimizers(dl.AdamW, **BETAS, weight_decay=st.sampled_from([0.0, 0.01, 0.5])),
    dl.NAdam: optimizers(dl.NAdam, **BETAS),
    dl.Normal: st.builds(dl.Normal, st.sampled_from([0.01, 1.0, 0.0])),
    dl.Uniform: st.builds(dl.Uniform, st.sampled_from([-1.0, 0.0]), st.sampled_from([0.0, 2.0])),
    dl.Orthogonal: st.builds(dl.Orthogonal, st.sampled_from([1.0, 1.5])),
    dl.Constant: st.builds(dl.Constant, st.sampled_from([0.0, -1.5])),
    **{cls: st.builds(cls) for cls in (dl.Zeros, dl.Xavier, dl.He, dl.LeCun)},
    dl.Mirror: st.builds(dl.Mirror, SHARES),
    dl.Shift: st.builds(dl.Shift, SMALL, FILLS),
    dl.RandomCrop: st.builds(dl.RandomCrop, st.integers(1, 3) | st.tuples(*[st.integers(1, 3)] * 2), SMALL, FILLS),
    dl.Cutout: st.builds(dl.Cutout, st.integers(1, 8), FILLS),
    dl.Brightness: st.builds(dl.Brightness, st.sampled_from([0.0, 0.25, 30.0])),
    dl.Contrast: st.builds(dl.Contrast, SHARES),
}
