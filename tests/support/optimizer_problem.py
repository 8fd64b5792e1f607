"""A small problem that every optimizer walks through, and where PyTorch ended."""

import numpy as np

import minidl as dl

STEPS = 12
START = {"0.weight": [1.0, -2.0, 0.5], "0.bias": [0.3, -0.1, 0.8]}
FROZEN = (0, 1, 5, 6)  # the steps in which the bias stays


def gradient_of(value, step):
    """The gradient of a bowl whose bottom moves about."""
    return 3.0 * value + np.sin(step + np.arange(value.size))


def walk(optimizer):
    """Return where `optimizer` ends."""
    parameters = {
        path: dl.Parameter(value, penalized=path.endswith("weight"), dtype=np.float64) for path, value in START.items()
    }
    for step in range(STEPS):
        parameters["0.bias"].trainable = step not in FROZEN
        for parameter in parameters.values():
            parameter.zero_grad()
            parameter.add_grad(gradient_of(parameter.value, step))
        optimizer.step(parameters)
    return [x for parameter in parameters.values() for x in parameter.value.tolist()]


STAIRS = dl.StepDecay(0.1, factor=0.5, every=5)

# Large epsilons, so that it matters where they stand.
CASES = {
    "SGD": ("SGD", (STAIRS,), {}),
    "momentum": ("SGD", (STAIRS, 0.9), {}),
    "Nesterov": ("SGD", (STAIRS, 0.9, True), {}),
    "clipped by norm": ("SGD", (0.2,), {"clip_norm": 2.0}),
    "clipped by value": ("SGD", (0.2,), {"clip_value": 0.7}),
    "Adagrad": ("Adagrad", (0.5, 0.1), {}),
    "RMSProp": ("RMSProp", (0.1, 0.9, 0.1), {}),
    "RMSProp, momentum": ("RMSProp", (0.1, 0.9, 0.1, 0.5), {}),
    "Adam": ("Adam", (0.1, 0.8, 0.95, 0.1), {}),
    "AdamW": ("AdamW", (STAIRS, 0.8, 0.95, 0.1, 0.3), {}),
    "NAdam": ("NAdam", (0.1, 0.8, 0.95, 0.1, 0.5), {}),
}
"""For each case the class, its arguments and its keywords."""

# Where PyTorch 2.13 ends; `test_torch_optimizers.py` goes beside the PyTorch that it finds.
ENDS = {
    "SGD": [0.0533365326, -0.0900078166, 0.0830113655, 0.0288991068, 0.0708139752, 0.2653551881],
    "momentum": [0.4222073187, -0.6122614841, 0.1055753958, -0.2190334147, 0.1224897509, -0.1819002818],
    "Nesterov": [0.0845741459, -0.2553316761, 0.0414390304, -0.1042730164, 0.0822298180, -0.0175303645],
    "clipped by norm": [0.2177035778, 0.1933036811, -0.0067886151, 0.2174399092, 0.1972769667, 0.0023524985],
    "clipped by value": [0.1595661915, -0.3200000000, 0.0288882602, 0.1518446623, 0.1978292645, 0.0800824757],
    "Adagrad": [0.0931780561, -0.1236670539, 0.0330793880, 0.1754200456, 0.2046177324, 0.0017452751],
    "RMSProp": [0.1097829420, -0.4427354642, 0.0381142863, 0.1122104406, 0.1721580963, 0.0707247268],
    "RMSProp, momentum": [0.0392991544, 0.0859922518, 0.1454554371, 0.1283274527, 0.1418579895, 0.1403096773],
    "Adam": [0.0575749480, -0.8726823992, -0.0648357806, -0.1211135205, 0.1136283992, 0.1413901058],
    "AdamW": [0.1916293642, -0.8914331107, -0.0017834544, -0.0286792867, 0.1074984285, 0.3547120746],
    "NAdam": [0.2177900763, -0.9842772937, 0.0298946594, 0.0301061700, 0.1293102527, 0.2335932185],
}


def make(case, cls=None):
    """Return the optimizer of `case`, or one of another class with its arguments."""
    name, arguments, keywords = CASES[case]
    return (cls or getattr(dl, name))(*arguments, **keywords)
