"""The gradient checker against known bugs: each gets the verdict it deserves, and what is right passes."""

import re
from functools import cache

import numpy as np
import pytest
from mutants import TABLE
from planted import LOOKALIKES, MUTANTS

from minidl import L1, L2, Dense, ElasticNet, Model, ReLU, Sequential, SoftmaxCrossEntropy, Verdict, gradcheck

FINDINGS = {
    "WeightedMean": "against the mean of its rows, the loss is",
    "SpoilsTargets": "backward changed targets",
    "Raises": "^forward raised ValueError: out of paper$",
    "NoBackward": "^backward raised NotImplementedError$",
    "ForgetsReturn": "^y: .*returned NoneType; is a return missing",
    "SumsRows": "^y: .*a row for each of the 4 rows of x and returned shape",
    "OtherShapeInTraining": r"^y: .*y of shape \(4, 3\) and .* shape \(4, 3, 1\)",
    "Downcasts": "^y: .*must keep dtype float64 and returned float32",
    "CountsTrainingCalls": r"^y.*two calls of forward\(train=True\) .*; it has no numpy.random.Generator to put back",
    "RandomPrediction": "a prediction draws nothing at random",
    "OtherRandomness": "^y.*; its random generators were put back",
    "ChangesXInTraining": r"^x.*forward\(train=True\) changed x",
    "ReturnsBuffer": "^y: .*returned a view of the buffer seen",
    "BackwardIntoPrediction": "^y: backward wrote into what forward",
    "WritesIntoPrediction": "^y.*: a later call changed y",
    "ReplacesGradient": "^gain: .*another array in place of gain.grad",
    "OwnCache": "a second backward after one forward must raise CallOrderError, .*raised AttributeError",
    "Immortal": "silently accepted",
    "LosesItToPrediction": r"^gain.grad.*: with a forward\(train=False\) between forward and backward",
    "ParametersAloneChangeDy": "^dy.*: backward_parameters changed dy",
    "DropsSmallGradients": "^dx.*: with dy times 5.96046e-08, .* dx is 0 and",
    "AddsSomethingSmall": "^dx.*: with dy = 0, dx is not 0: backward must be linear in dy",
    "NoOutputShape": r"^y.*: output_shape promises \(3,\) for a row",
    "BadOutputShape": "^output_shape raised TypeError: ",
    "NeedsContiguous": "with x and dy strided .*, forward raised ValueError",
    "RefusesNegativeStrides": "dy with negative strides, backward raised",
    "MistakesBroadcast": "^dx.*: with a broadcast dy, whose strides are 0, dx is",
    "NeedsTwoRows": "with a batch of 1, forward raised IndexError",
    "InfiniteForOneRow": "^y.*: with a batch of 1 the layer returned inf",
    "MeanOfSmallBatches": "^gain.grad.*of a batch in two parts",
    "OneLossARow": "must return a float and returned ndarray",
    "RaisingLoss": "^backward raised ZeroDivisionError: ",
    "CountingLossBackward": "^d outputs.*two calls of backward",
    "ReturnsOutputs": "backward returned a view of outputs",
    "FirstLoss": "^d outputs.*: after two forwards",
    "PredictionTakesPlace": "^d outputs.*: with predictions between forward and backward",
    "PredictsInPlace": "predict, .* changed outputs",
    "BadProbabilities": "^probabilities raised TypeError",
    "MemoryOrderLoss": "with outputs in column order, the loss is",
    "OneRowAtLeast": r"empty batch of shape \(0, 3\), backward",
    "PenaltyOfColumns": "penalty must return a float and returned ndarray",
    "InfinitePenalty": "^penalty returned inf",
    "NegativePenalty": "^penalty must be at least 0 and is -1",
    "RaisingPenalty": "^penalty raised TypeError: ",
    "NoisyPenalty": "two calls of penalty|penalty.*differ",
    "SingleGradient": "gradient must keep dtype float64",
    "EmptyGradient": "with an empty w of shape .* has shape",
    "StepInBackward": "backward changed weight",
    "NormalisesWeight": r"forward\(train=False\) changed weight",
    "CentresInPlace": r"^x.*forward\(train=False\) changed x",
    "BackwardSpoilsX": "^x.*backward changed x",
    "HalvesDy": "^dy.*backward changed dy",
    "BorrowsDy": "with x and dy read-only, backward raised ValueError",
    "RunningMeanInEval": r"forward\(train=False\) changed running_mean",
    "RunningMeanInBackward": "backward changed running_mean",
    "Overwrites": "added to what was there before",
    "ForgetsInForward": "added to what was there before",
    "RunningTotal": "two calls of backward .* differ, in bias.grad",
    "FirstForward": "with the rows in reverse order",
    "KeepsInEval": r"a backward after only forward\(train=False\) must",
    "FirstOfTwo": "after two forwards, of which the second counts",
    "BackwardTwice": "a second backward after one forward must",
    "BackwardOfNothing": "silently accepted",
    "Workspace": r"wrote into what forward\(train=False\) had",
    "UpcastsY": "float64",
    "NoParameters": "by backward_parameters, .*grad is 0",
    "MemoryOrder": "with x and dy in column order, y is",
    "ListOfRows": "with an empty batch the layer must return y",
    "MixesRows": "with a batch of 1 of the same rows, y is",
    "NoisyForward": "in y .*; a prediction draws nothing",
    "dense-nan": r"^weight.grad\[0, 0\]: backward returned nan",
    "dense-float32-dx": "^dx: backward must keep dtype float64 and",
    "dense-no-dx": "backward .*returned NoneType; is a return missing",
    "dense-list-dx": "^dx: backward must return an array and returned list",
    "dense-dx-summed": "backward must return dx of shape",
    "dense-clip-far": r"^dx.*: with dy times 1.67772e\+07",
    "HandsDyOn": "returned dy itself or a view of it",
    "UnsummedGain": "^backward raised ShapeError: ",
    "ReturnsParameter": "view of table, which",
    "ReturnsGradient": "view of table.grad",
    "RedrawnMask": "^dx.*two calls of backward .*its forward drew",
    "NaiveLogSoftmax": "^forward returned (inf|nan) for finite",
    "ShiftsInPlace": "forward changed outputs",
    "FirstBatchLoss": "rows in reverse order, d outputs is",
    "BackwardTwiceLoss": "a second backward after one forward",
    "NoisyLoss": "two calls of forward .* differ, in the loss",
    "SquaresInPlace": "penalty changed w",
    "ScalesInPlace": "gradient changed w",
    "ReturnsW": "must return a new array",
    "FlatL2": "must return the gradient of shape",
    "MemoryOrderL2": "with w in column order, the gradient is",
}
"""What a finding of some of them must say."""


@cache
def report_of(m):
    return m.check()


def each(mutants):
    return pytest.mark.parametrize("m", mutants, ids=lambda m: m.name)


@each(MUTANTS)
def test_a_bug_is_caught_for_what_it_is(m):
    report = report_of(m)
    assert report.verdict in m.verdicts, str(report)
    assert not report.ok
    assert not report
    if report.verdict is not Verdict.VACUOUS:
        assert report.findings[0].verdict is report.verdict
    if report.verdict is Verdict.FAIL_VALUE:
        assert m.tensor in {finding.tensor for finding in report.findings}
    said = FINDINGS.get(m.name, "")
    assert any(re.search(said, str(finding)) for finding in report.findings) or not said, str(report)


@each(LOOKALIKES)
def test_what_only_looks_like_a_bug_passes(m):
    report = report_of(m)
    assert report.verdict in m.verdicts, str(report)
    assert report.ok
    assert report.findings == [] or report.verdict is Verdict.PASS_SUBGRADIENT


RIGHT = {
    "Dense": lambda rng, dtype: (Dense(4, 3, rng=0, dtype=dtype), rng.normal(size=(5, 4)).astype(dtype)),
    "square Dense": lambda rng, dtype: (Dense(4, 4, rng=0, dtype=dtype), rng.normal(size=(4, 4)).astype(dtype)),
    "one row, one output": lambda rng, dtype: (Dense(2, 1, rng=0, dtype=dtype), rng.normal(size=(1, 2)).astype(dtype)),
    "no bias": lambda rng, dtype: (Dense(4, 3, bias=False, rng=0, dtype=dtype), rng.normal(size=(5, 4)).astype(dtype)),
    "ReLU": lambda rng, dtype: (ReLU(), rng.normal(size=(5, 4)).astype(dtype)),
    "ReLU of images": lambda rng, dtype: (ReLU(), rng.normal(size=(2, 3, 4, 5)).astype(dtype)),
    "network": lambda rng, dtype: (
        Sequential(Dense(4, 6, rng=0, dtype=dtype), ReLU(), Dense(6, 3, rng=1, dtype=dtype)),
        rng.normal(size=(5, 4)).astype(dtype),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT.keys())
def test_right_layers_pass(make, dtype, rng):
    report = gradcheck.check_layer(*make(rng, dtype))
    assert report.verdict is Verdict.PASS, str(report)


@pytest.mark.parametrize("regularizer", [None, L1(0.2), L2(0.2), ElasticNet(0.1, 0.3)], ids=repr)
def test_right_losses_regularizers_and_models_pass(regularizer, rng):
    labels = rng.integers(0, 3, 5)
    reports = [gradcheck.check_loss(SoftmaxCrossEntropy(), 3 * rng.normal(size=(5, 3)), labels)]
    if regularizer:
        reports.append(gradcheck.check_regularizer(regularizer, rng.normal(size=(4, 3))))
    for layers in ([Dense(4, 3, rng=0)], [Dense(4, 6, rng=0), ReLU(), Dense(6, 3, rng=1)]):
        model = Model(Sequential(*layers), SoftmaxCrossEntropy(), regularizer)
        reports.append(gradcheck.check_model(model, rng.normal(size=(5, 4)), labels))
    for report in reports:
        assert report.verdict is Verdict.PASS, str(report)


def test_names_are_unique_and_verdicts_fit_the_list():
    names = [m.name for m in MUTANTS + LOOKALIKES]
    assert len(set(names)) == len(names)
    assert not any(v.ok for m in MUTANTS for v in m.verdicts)
    assert all(v.ok for m in LOOKALIKES for v in m.verdicts)


def test_the_kept_table_is_that_of_today():
    rows = [re.split(r" (?<!\\)\| ", line[2:])[:4] for line in TABLE.read_text(encoding="utf-8").splitlines()]
    kept = [(row[0], row[1], row[2].replace("\\|", "|"), row[3]) for row in rows if len(row) == 4 and row[0].isdigit()]
    settled = MUTANTS + LOOKALIKES
    today = [(str(m.number), m.name, m.what, report_of(m).verdict.name) for m in settled]
    assert kept == today, "renew it with: python tests/support/mutants.py --write"
