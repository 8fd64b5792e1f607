"""The schedules and ReduceLROnPlateau compared with those of PyTorch."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plateau_runs import rates_along

import minidl as dl

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
lr_scheduler = torch.optim.lr_scheduler

STEPS = 80


def torch_rates(rate, make, *arguments, steps=STEPS, **keywords):
    """Return the rates of PyTorch's scheduler at the first steps."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate)
    scheduler = make(optimizer, *arguments, **keywords)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


rates = st.floats(1e-4, 10.0)
lengths = st.integers(1, 40)
factors = st.floats(0.1, 1.0)


def sequential(optimizer, steps, start, every):
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=steps),
        lr_scheduler.StepLR(optimizer, every, 0.5),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[steps])


@st.composite
def pairs(draw):
    """Draw one of our schedules that is more than a formula, and the rates of PyTorch's schedule."""
    rate, length, factor, kind = draw(rates), draw(lengths), draw(factors), draw(st.integers(0, 3))
    match kind:
        case 0:
            steps = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=4)))
            levels = [rate * factor**i for i in range(len(steps) + 1)]
            return dl.PiecewiseConstant(steps, levels), torch_rates(rate, lr_scheduler.MultiStepLR, steps, factor)
        case 1:
            growth, minimum = draw(st.integers(1, 3)), rate * draw(st.floats(0.0, 0.9))
            expected = torch_rates(rate, lr_scheduler.CosineAnnealingWarmRestarts, length, growth, minimum)
            return dl.CosineAnnealingWarmRestarts(rate, length, growth, minimum), expected
        case 2:
            rise, divisor, end = draw(st.floats(0.05, 0.95)), draw(st.floats(2.0, 50.0)), draw(st.floats(10.0, 1e5))
            shape = {"pct_start": rise, "div_factor": divisor, "final_div_factor": end, "cycle_momentum": False}
            expected = torch_rates(1.0, lr_scheduler.OneCycleLR, rate, total_steps=STEPS, **shape)
            return dl.OneCycle(rate, STEPS, rise=rise, start_divisor=divisor, end_divisor=end), expected
        case _:
            expected = torch_rates(rate, sequential, length, factor, 5)
            return dl.LinearWarmup(dl.StepDecay(rate, 0.5, 5), length, start=factor * rate), expected


@settings(max_examples=150)
@given(pairs())
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # PyTorch's SequentialLR uses it itself
def test_rates_equal_those_of_pytorch(pair):
    schedule, expected = pair
    assert [schedule(step) for step in range(STEPS)] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_defaults_of_one_cycle_are_pytorchs():
    expected = torch_rates(1.0, lr_scheduler.OneCycleLR, 0.3, total_steps=50, steps=50, cycle_momentum=False)
    assert [dl.OneCycle(0.3, 50)(step) for step in range(50)] == pytest.approx(expected, rel=1e-12)


values = st.lists(st.sampled_from([0.1, 0.5, 0.50001, 0.6, 0.6001, 1.0, 2.0, float("nan")]), min_size=50, max_size=60)


@settings(max_examples=100)
@given(
    values,
    st.fixed_dictionaries(
        {
            "factor": st.floats(0.1, 0.9),
            "patience": st.integers(0, 4),
            "min_delta": st.sampled_from([0.0, 1e-4, 0.2]),
            "cooldown": st.integers(0, 4),
            "minimum": st.sampled_from([0.0, 0.02]),
            "mode": st.sampled_from(["min", "max"]),
        }
    ),
)
def test_the_plateau_equals_that_of_pytorch(column, options):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    names = {"min_delta": "threshold", "minimum": "min_lr"}
    theirs = {names.get(name, name): value for name, value in options.items()}
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="abs", eps=0.0, **theirs)
    expected = []
    for value in column:
        scheduler.step(value)
        expected.append(float(optimizer.param_groups[0]["lr"]))
    assert rates_along(column, monitor="quality", **options) == pytest.approx(expected, rel=1e-12)
