"""ReduceLROnPlateau: when it lowers the rate, and what it refuses."""

import math

import pytest
from plateau_runs import measure, rates_along, trainer_with

import minidl as dl
from minidl.testing import check_callback_contract


def test_the_rate_falls_after_more_than_patience_epochs_without_an_improvement():
    rates = rates_along([1.0, 0.9, 0.9, 0.95, 0.91, 0.8, 0.8, 0.8], factor=0.5, patience=2)
    assert rates == [0.1] * 4 + [0.05] * 4
    assert rates_along([1.0, 1.0, 1.0], factor=0.5, patience=0) == [0.1, 0.05, 0.025]


def test_an_improvement_is_at_least_min_delta():
    column = [1.0, 0.9995, 0.999, 0.9985]
    assert rates_along(column, factor=0.5, patience=1, min_delta=1e-4) == [0.1] * 4
    assert rates_along(column, factor=0.5, patience=1, min_delta=1e-2) == [0.1, 0.1, 0.05, 0.05]


def test_nan_is_no_improvement():
    assert rates_along([math.nan, math.nan, 1.0, 1.0], factor=0.5, patience=0) == [0.05, 0.025, 0.025, 0.0125]


def test_after_a_reduction_it_rests():
    assert rates_along([1.0] * 6, factor=0.5, patience=0, cooldown=2) == [0.1, 0.05, 0.05, 0.05, 0.025, 0.025]


def test_the_rate_never_falls_below_the_minimum_nor_rises_to_it():
    assert rates_along([1.0] * 4, factor=0.5, patience=0, minimum=0.03) == [0.1, 0.05, 0.03, 0.03]
    assert rates_along([1.0] * 3, factor=0.5, patience=0, minimum=0.2) == [0.1] * 3


@pytest.mark.parametrize(
    ("monitor", "mode", "lowers"),
    [
        ("val_loss", "auto", True),
        ("val_accuracy", "auto", False),
        ("accuracy", "auto", False),
        ("val_accuracy", "min", True),
        ("val_loss", "max", False),
    ],
)
def test_which_way_is_better(monitor, mode, lowers):
    trainer, plateau = trainer_with(), dl.ReduceLROnPlateau(monitor, mode=mode, patience=0)
    plateau.on_train_begin(trainer)
    measure(trainer, plateau, 0.5, monitor)
    assert (measure(trainer, plateau, 0.7, monitor) < 0.1) is lowers


def test_a_second_fit_goes_on_where_the_first_one_ended():
    options = {"factor": 0.5, "patience": 3, "cooldown": 2}
    column = [1.0] * 4 + [0.9] + [1.0] * 12
    whole = rates_along(column, **options)
    for cut in range(len(column)):
        trainer = trainer_with()
        got = []
        for part in (column[:cut], column[cut:]):
            plateau = dl.ReduceLROnPlateau(**options)
            plateau.on_train_begin(trainer)
            got += [measure(trainer, plateau, value) for value in part]
        assert got == whole
    assert len(set(whole)) == 3


def test_it_serves_a_real_training():
    data = dl.Dataset([[0.0], [1.0]], [0, 1])
    model = dl.Model(dl.Dense(1, 2, rng=0), dl.SoftmaxCrossEntropy())
    callback = dl.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)
    history = dl.Trainer(model, dl.Adam(0.1), [callback], rng=0).fit(data, epochs=6, batch_size=1)
    assert history["learning_rate"] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    check_callback_contract(lambda: dl.ReduceLROnPlateau("learning_rate", patience=0))


def test_a_column_that_is_not_there_is_told_with_the_nearest():
    trainer, plateau = trainer_with(), dl.ReduceLROnPlateau("val_los")
    plateau.on_train_begin(trainer)
    with pytest.raises(dl.InputError, match="an epoch has no 'val_los'; the nearest names are val_loss"):
        measure(trainer, plateau, 1.0)
    with pytest.raises(dl.InputError, match="an epoch has no '42'; the nearest names are epoch, val_loss"):
        measure(trainer, dl.ReduceLROnPlateau("42"), 1.0)


def test_without_validation_data_the_error_asks_for_them():
    model = dl.Model(dl.Dense(1, 2, rng=0), dl.SoftmaxCrossEntropy())
    with pytest.raises(dl.InputError, match=r"an epoch has no 'val_loss'; pass validation data to fit$"):
        dl.Trainer(model, dl.SGD(0.1), [dl.ReduceLROnPlateau()]).fit(
            dl.Dataset([[0.0], [1.0]], [0, 1]), epochs=1, batch_size=1
        )


def test_a_schedule_and_a_plateau_do_not_go_together():
    with pytest.raises(dl.InputError, match=r"a number as learning rate, got ConstantRate\(0.1\); keep"):
        dl.ReduceLROnPlateau().on_train_begin(trainer_with(dl.ConstantRate(0.1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1}, "factor: "),
        ({"factor": 0}, "factor: expected a number between 0 and 1"),
        ({"patience": -1}, "patience: "),
        ({"min_delta": -1}, "min_delta: "),
        ({"cooldown": 0.5}, "cooldown: "),
        ({"minimum": -1}, "minimum: "),
        ({"mode": "best"}, "mode: expected 'auto', 'min' or 'max', got 'best'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(dl.InputError, match=message):
        dl.ReduceLROnPlateau(**options)


def test_representation():
    assert repr(dl.ReduceLROnPlateau()) == "ReduceLROnPlateau()"
    assert repr(dl.ReduceLROnPlateau(factor=0.5)) == "ReduceLROnPlateau(factor=0.5)"


def test_a_plateau_without_end_leaves_a_rate_above_zero():
    rates = rates_along([1.0] * 400, factor=0.1, patience=0)
    assert min(rates) > 0
