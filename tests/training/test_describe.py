"""describe_run reports what the numbers show, and nothing else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import History, describe_run


def run(**columns: list[float]) -> str:
    """Describe the history that has these columns."""
    return describe_run(History(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)))


def test_a_smooth_run_without_penalty() -> None:
    training, validation = [2.0, 1.5, 1.25], {"val_loss": [2.5, 2.0, 1.75], "val_accuracy": [0.2, 0.3, 0.4]}
    assert run(cost=training, loss=training, accuracy=[0.3, 0.4, 0.5], **validation) == (
        "From epoch 1 to 3 the training cost went from 2.000 to 1.250. "
        "It never rose. "
        "At the end the training loss was 1.250 and the validation loss was 1.750. "
        "At the end the training accuracy was 50.00 % and the validation accuracy was 40.00 %. "
        "The validation loss was lowest after epoch 3 (1.750), the last one. "
        "The penalty is zero, so the cost equals the loss."
    )


def test_an_unstable_run_with_penalty() -> None:
    rest = {"loss": [4.0, 8.0, 1.9, 2.0] * 2, "val_loss": [2.0, 8.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]}
    assert run(cost=[4.0, 8.0, 2.0, 2.5] * 2, **rest) == (
        "From epoch 1 to 8 the training cost went from 4.000 to 2.500. "
        "The cost was not stable: it rose by 1 % or more in 5 of 7 steps, most in epoch 6, from 4.000 to 8.000. "
        "At the end the training loss was 2.000 and the validation loss was 3.000. "
        "The validation loss was lowest after epoch 1 (2.000) and ended at 3.000. "
        "The penalty is 20.0 % of the final training cost of 2.500."
    )


@pytest.mark.parametrize(
    ("costs", "rises", "unstable"),
    [
        ([2.0, 2.2, 1.0, 1.2, 0.9, 0.8, 0.7, 0.7, 0.7], 2, True),  # two of eight steps, by 10 % or more
        ([2.0, 2.2, 1.0, 1.2, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7], 2, False),  # two of nine
        ([2.0, 2.19, 1.0, 1.09, 0.9, 0.8, 0.7, 0.7], 2, False),  # by less than 10 %
        ([-2.0, -1.9] * 4, 4, False),  # by 5 % of its size
        ([2.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0], 3, False),  # of fewer than eight epochs
    ],
)
def test_definition_of_an_unstable_cost(costs: list[float], rises: int, unstable: bool) -> None:
    assert ("not stable" in run(cost=costs)) is unstable
    assert f"in {rises} of {len(costs) - 1} steps" in run(cost=costs)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"cost": [1.0, 2.0]}, "rose by 1 % or more in 1 of 1 steps, most"),
        ({"cost": [2.0, 40000.0, 1.0]}, "from 2.000 to 40,000."),
        ({"cost": [2.0, 2.019, 2.03, 1.0]}, "It sometimes rose, but always by less than 1 %."),
        ({"cost": [2.0, math.nan, 2.0, 2.01]}, "It sometimes rose, but always by less than 1 %."),
        ({"loss": [2.4799], "val_loss": [2.5394]}, "training loss was 2.480 and the validation loss was 2.539."),
        ({"cost": [2.0, 0.5], "loss": [2.0, 0.4]}, "The penalty is 20.0 %"),
        ({"cost": [-1.0, 2.0]}, "from \N{MINUS SIGN}1.000 to 2.000."),
        ({"epoch": [41, 42], "cost": [2.0, 3.0]}, "most in epoch 42"),
        ({"val_loss": [1.0, 1.0]}, "after epoch 2 (1.000), the last one"),
        (
            {"accuracy": [0.5], "val_accuracy": [0.5]},
            "training accuracy was 50.00 % and the validation accuracy was 50.00 %.",
        ),
    ],
)
def test_descriptions_of_edge_cases(columns: dict[str, list[float]], words: str) -> None:
    assert words in run(**columns)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "No epoch was finished."),
        ({"cost": [2.5]}, "The training cost after the only epoch was 2.500."),
        ({"seconds": [1.0, 2.0]}, ""),
        ({"val_loss": [2.0]}, ""),
        ({"cost": [math.nan, math.inf]}, "The training cost is not finite in any epoch."),
        ({"cost": [1.0, math.nan]}, "The training cost is not finite in 1 of 2 epochs, first in epoch 2."),
    ],
)
def test_descriptions_of_short_histories(columns: dict[str, list[float]], text: str) -> None:
    assert run(**columns) == text


def test_non_finite_values_are_reported_and_not_compared() -> None:
    nan, inf = math.nan, math.inf
    text = run(cost=[2.0, nan, 3.0, 4.0, inf], loss=[2.0, nan, 3.0, 4.0, inf], val_loss=[1.0, 2.0, nan, 3.0, nan])
    assert text == (
        "The training cost is not finite in 2 of 5 epochs, first in epoch 2. "
        "It rose by 1 % or more in 1 of 1 steps, most in epoch 4, from 3.000 to 4.000. "
        "At the end the training loss is not finite. "
        "The validation loss was lowest after epoch 1 (1.000)."
    )


def test_missing_measurements_are_not_described() -> None:
    assert "validation" not in run(cost=[2.0, 1.0], loss=[2.0, 1.0], accuracy=[0.1, 0.2])
    assert "training" not in run(val_loss=[2.0, 1.0])
    assert "penalty" not in run(cost=[2.0, 1.0])
    assert "penalty" not in run(cost=[1.0, 0.9], loss=[1.0, 1.0])  # a cost below the loss is none


NUMBERS = st.floats(width=32)


@given(rows=st.lists(st.tuples(*[NUMBERS] * 6), max_size=6))
def test_every_history_can_be_described(rows: list[tuple[float, ...]]) -> None:
    names = ["cost", "loss", "accuracy", "val_cost", "val_loss", "val_accuracy"]
    text = describe_run(History(dict(zip(names, row, strict=True)) for row in rows))
    assert text.endswith(".")
    assert "nan" not in text
    assert "inf" not in text.replace("finite", "")
