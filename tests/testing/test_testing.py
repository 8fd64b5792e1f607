"""minidl.testing: its strategies and its state machine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from planted import MUTANTS
from small_parts import ForeignScale, Scale

import minidl as dl
from minidl import testing
from minidl.gradcheck.arrays import array_source
from minidl.testing.strategies import call_writer

SHAPE = (4,)


# ---- strategies


@given(st.data())
def test_values_off_kinks_are_distinct_odd_dyadics_of_both_signs(data):
    x = data.draw(testing.off_kinks(data.draw(testing.shapes(1, 3, max_side=5))))
    assert len(np.unique(x)) == x.size
    assert (x * 32 % 2 == 1).all()
    assert x.max() > 0
    assert x.size == 1 or x.min() < 0
    np.testing.assert_array_equal(x.astype(np.float32), x)


def test_ties_zeros_and_extremes_occur():
    for values, has in [
        (testing.ties, lambda x: len(np.unique(x)) < x.size),
        (testing.zeros, lambda x: not x.any()),
        (testing.extremes, lambda x: np.abs(x).max() >= 1000 and np.abs(x).min() < 1e-8),
    ]:
        assert find(values((2, 2)), has).shape == (2, 2)


def test_shapes_have_mostly_distinct_sides():
    drawn = []

    @settings(max_examples=200, derandomize=True, database=None)
    @given(testing.shapes(2, 3))
    def collect(shape):
        drawn.append(shape)

    collect()
    assert sum(len(set(shape)) == len(shape) for shape in drawn) > 0.6 * len(drawn)
    assert any(len(set(shape)) == 1 for shape in drawn)


@pytest.mark.parametrize("layout", ["c", "f", "strided", "read-only"])
def test_batches_come_in_every_memory_layout(layout):
    def found(x):
        flags = x.flags
        return {
            "c": flags.c_contiguous and flags.writeable,
            "f": flags.f_contiguous and not flags.c_contiguous,
            "strided": not flags.c_contiguous and not flags.f_contiguous,
            "read-only": not flags.writeable,
        }[layout]

    x = find(testing.batches((2, 3), rows=4, dtype=np.float32), found)
    assert x.shape == (4, 2, 3)
    assert x.dtype == np.float32


@given(st.data())
def test_logits_and_labels_fit(data):
    z, y = data.draw(testing.logits(3, 4)), data.draw(testing.labels(3, 4))
    assert z.shape == (3, 4)
    assert np.isfinite(dl.SoftmaxCrossEntropy().forward(z, y))


# ---- printed sources


@given(strategy_for(dl.Dense))
def test_the_source_of_an_array_recreates_it(case):
    x = eval(array_source(case[1]), {"np": np})
    np.testing.assert_array_equal(x, case[1], strict=True)
    assert (x.flags.c_contiguous, x.flags.writeable) == (case[1].flags.c_contiguous, case[1].flags.writeable)


def test_an_object_without_source_is_called_make():
    make = eval("lambda features: Scale(features)", {"Scale": Scale})
    assert call_writer(make)(3) == "make(3)"
    # Outside the assert, which some versions of pytest rewrite.
    pair = lambda rows: (rows, Scale(rows + 1))  # noqa: E731
    assert call_writer(pair)(3) == "(3, Scale(3 + 1))"


# ---- call orders

PLANTED = {fault.name: fault for fault in MUTANTS}


def run_machine(make, shape=SHAPE, examples=25):
    once = settings(
        max_examples=examples,
        stateful_step_count=20,
        phases=[Phase.generate],  # that a fault is found matters here, not how small the example is
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(testing.layer_machine(make, shape), settings=once)


RIGHT = {
    "Sequential": lambda: dl.Sequential(dl.Dense(4, 5, rng=0), dl.ReLU(), dl.Dense(5, 3, rng=1)),
    "ForeignLayer": lambda: dl.ForeignLayer(ForeignScale(4), {"gain": "d_gain"}),
    "BatchNorm": lambda: dl.BatchNorm(4),
    "Dropout": lambda: dl.Dropout(0.5, rng=1),
    "Residual": lambda: dl.Residual(dl.Parallel(dl.Dense(4, 3, rng=0), dl.Dense(4, 1, rng=1))),
}


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_the_machine_accepts_correct_layers(make):
    run_machine(make, examples=6)


@pytest.mark.parametrize("name", ["FirstForward", "StaleMean", "Overwrites", "EvalForgets"])
def test_the_machine_finds_a_planted_fault(name):
    with pytest.raises((testing.ContractError, dl.CallOrderError, ValueError)):
        run_machine(lambda: PLANTED[name].make()[0], PLANTED[name].make()[1].shape[1:])


# ---- the package


def test_without_hypothesis_the_error_names_the_extra():
    code = "import sys; sys.modules['hypothesis'] = None; import minidl.testing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'minidl.testing needs Hypothesis; install it with: pip install "minidl[test]"' in run.stderr


HOW_TO = Path(__file__).parent.parent.parent / "docs" / "check-your-own-layer.md"


def test_the_how_to_explains_every_verdict():
    text = HOW_TO.read_text(encoding="utf-8")
    assert [verdict.name for verdict in dl.Verdict if f"`{verdict.name}`" not in text] == []
