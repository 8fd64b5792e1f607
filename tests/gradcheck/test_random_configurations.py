"""At least 1,000 random correct configurations get no failing verdict, hardly any undecided one, and stay as they are.

Kinks, ties, zeros and saturated inputs are among them. The nightly Hypothesis profile draws 20 times as many:
``HYPOTHESIS_PROFILE=nightly pytest tests/gradcheck/test_random_configurations.py``.
"""

import copy
from collections import Counter
from inspect import isabstract

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import event, given, settings

import minidl as dl
from minidl import Verdict, testing

CHECK_OF = {
    dl.Layer: dl.check_layer,
    dl.Loss: dl.check_loss,
    dl.Regularizer: dl.check_regularizer,
    dl.Model: dl.check_model,
}
CHECKS = {
    cls: check
    for cls in (getattr(dl, name) for name in dl.__all__)
    for kind, check in CHECK_OF.items()
    if isinstance(cls, type) and issubclass(cls, kind) and not isabstract(cls)
}
VALUES = (testing.off_kinks, testing.ties, testing.zeros, testing.extremes)
FAILING = {Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT, Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED}
EXAMPLES = 4 * settings().max_examples // 25  # of each kind: 8 by default, 160 at night


@pytest.fixture(scope="module")
def counts():
    """How often each verdict came, for each kind of configuration."""
    return {}


def state_of(subject):
    """Return the numbers of a layer, or of a model's network, which no check may change."""
    network = getattr(subject, "network", subject)
    if not isinstance(network, dl.Layer):
        return None
    parameters = network.named_parameters().values()
    arrays = [*(array for p in parameters for array in (p.value, p.grad)), *network.named_buffers().values()]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: values.__name__)
@pytest.mark.parametrize(("cls", "check"), CHECKS.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_correct_configuration_never_fails(cls, check, values, counts):
    def check(*case, checked=check):
        before = state_of(case[0])
        report = checked(*case)
        assert state_of(case[0]) == before
        return report

    seen = counts.setdefault((cls, values), Counter())

    @settings(max_examples=EXAMPLES)
    @given(strategy_for(cls, values))
    def never_fails(case):
        before = copy.deepcopy(case[1:])
        report = check(*case)
        seen[report.verdict] += 1
        event(report.verdict.name)
        if report.verdict in FAILING:
            report.assert_ok()
        for array, copied in zip(case[1:], before, strict=True):
            np.testing.assert_array_equal(array, copied)

    never_fails()


def test_there_were_a_thousand_and_few_were_left_undecided(counts, capsys):
    if len(counts) < len(CHECKS) * len(VALUES):
        pytest.skip("needs all the tests above")
    total = sum(counts.values(), Counter())
    text = ", ".join(f"{verdict.name} {number}" for verdict, number in total.most_common())
    with capsys.disabled():
        print(f"\n{total.total()} random correct configurations: {text}")
    undecided = {
        f"{cls.__name__}, {values.__name__}": seen[Verdict.INCONCLUSIVE] for (cls, values), seen in counts.items()
    }
    assert total.total() >= 1000
    assert [verdict.name for verdict in FAILING if total[verdict]] == []
    assert total[Verdict.INCONCLUSIVE] <= 0.05 * total.total(), {k: n for k, n in undecided.items() if n}
    assert total[Verdict.VACUOUS] <= 0.15 * total.total()  # a gradient that is zero shows little
