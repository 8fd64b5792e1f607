"""Every optimizer: its rule, clipping, freezing, schedules, saving."""

import numpy as np
import pytest
from optimizer_problem import CASES, ENDS, make, walk
from planted.optimizers import BUGS, RIGHT
from small_parts import Momentum
from training_runs import fit, images, usual_run

import minidl as dl
from minidl.nn.arithmetic import BLOCK, blocks

OPTIMIZERS = (dl.SGD, dl.Adagrad, dl.RMSProp, dl.Adam, dl.AdamW, dl.NAdam)
every_case = pytest.mark.parametrize("case", CASES)
every_class = pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)


# ---- rules


@every_case
def test_a_rule_gives_the_weights_of_pytorch(case):
    for cls in (None, RIGHT[case]):
        assert walk(make(case, cls)) == pytest.approx(ENDS[case], abs=1e-10)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_gives_other_weights(bug):
    case, cls = BUGS[bug]
    assert walk(make(case, cls)) != pytest.approx(ENDS[case], rel=1e-6, abs=1e-6)


@every_class
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_and_empty_arrays_are_parameters_too(cls, dtype):
    for value in (1.0, np.zeros((0, 3))):
        parameter = dl.Parameter(value, dtype=dtype)
        parameter.add_grad(np.ones_like(parameter.value))
        optimizer = cls(0.1)
        for _ in range(2):
            optimizer.step({"w": parameter})
        assert parameter.value.dtype == dtype
        assert (parameter.value < 1.0).all()


# ---- blocks


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7, 5), (BLOCK + 1,), (3, BLOCK), (BLOCK, 3), (40, 30, 50), (1, 1, BLOCK + 7)])
def test_blocks_are_small_and_cover_everything_once(shape, order):
    counts, indices = np.zeros(shape, order=order), np.arange(np.prod(shape)).reshape(shape)
    parts = []
    for part, other in blocks(counts, indices):
        assert part.size <= BLOCK
        part += 1
        parts.append(other.ravel())
    assert (counts == 1).all()
    assert len(parts) <= counts.size // BLOCK + 2
    assert sorted(np.concatenate(parts)) == list(range(counts.size))


@every_case
def test_large_parameters_in_any_order_move_like_their_parts(case, rng):
    value, *gradients = rng.normal(size=(3, 1000, 40))
    assert value.size > BLOCK
    ends = []
    for parts in ([np.s_[:]], [np.s_[:500], np.s_[500:]]):
        for order in "CF":
            optimizer = make(case)
            optimizer.clip_norm = None
            parameters = {str(i): dl.Parameter(np.array(value[p], order=order)) for i, p in enumerate(parts)}
            for g in gradients:
                for i, p in enumerate(parts):
                    parameters[str(i)].zero_grad()
                    parameters[str(i)].add_grad(g[p])
                optimizer.step(parameters)
            ends.append(np.concatenate([parameter.value for parameter in parameters.values()]))
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


# ---- the loop


def test_a_rule_of_your_own_is_a_formula_and_its_state_has_paths():
    optimizer = Momentum(1.0, clip_value=1.0)
    parameters = {"0.weight": parameter_with([3.0]), "1.weight": parameter_with([0.0])}
    for _ in range(2):
        optimizer.step(parameters)
    assert [parameter.value[0] for parameter in parameters.values()] == [-2.5, 0]
    assert optimizer.state["0.weight"]["velocity"][0] == -1.5


# ---- learning rates


def test_each_step_has_its_own_rate_also_after_an_assignment():
    parameter, optimizer = parameter_with([1.0]), dl.SGD(dl.PiecewiseConstant([1, 2], [0.5, 0.0, 0.25]))
    assert optimizer.current_learning_rate == 0.5
    rates = []
    for _ in range(3):
        optimizer.step({"w": parameter})
        rates.append((optimizer.steps, optimizer.current_learning_rate, parameter.value[0]))
    assert rates == [(1, 0.5, -0.5), (2, 0.0, -0.5), (3, 0.25, -0.75)]
    optimizer.learning_rate = dl.StepDecay(8.0, 0.5, every=2)
    # The rate of step 2, the last one.
    assert optimizer.current_learning_rate == 4.0
    optimizer.learning_rate = 0.25
    assert optimizer.current_learning_rate == optimizer.learning_rate == 0.25
    optimizer.step({"w": parameter})
    assert parameter.value[0] == -1.0


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "cosine", None, True, dl.OneCycle])
def test_a_learning_rate_is_a_finite_number_above_zero(rate):
    optimizer = dl.SGD(0.1)
    with pytest.raises(dl.InputError, match="learning_rate: expected a finite number > 0 or a Schedule, got"):
        optimizer.learning_rate = rate


@pytest.mark.parametrize("rate", [-0.1, float("nan"), None])
def test_a_schedule_must_give_a_rate(rate):
    broken, parameter = type("Broken", (dl.Schedule,), {"__call__": lambda self, step: rate}), parameter_with([1.0])
    with pytest.raises(dl.InputError, match=r"Broken\(0\): expected a finite number >= 0"):
        dl.SGD(broken()).step({"w": parameter})
    assert parameter.value[0] == 0.0


def test_the_history_has_the_rate_of_each_epochs_last_step():
    trainer = trainer_with(dl.Adam(dl.ExponentialDecay(0.1, 0.5)))
    # An epoch is 3 steps.
    history = fit(trainer, {}, 2)
    assert history["learning_rate"] == [0.1 * 0.5**2, 0.1 * 0.5**5]
    assert all(type(rate) is float for rate in history["learning_rate"])


# ---- clipping


@pytest.mark.parametrize(
    ("gradient", "dtype", "options", "expected"),
    [
        ([0.3, -0.4], np.float64, {"clip_norm": 0.51}, [-0.3, 0.4]),
        ([3e30, 4e30], np.float32, {"clip_norm": 1.0}, [-0.6, -0.8]),
        ([3.0, -3.0, 0.25], np.float64, {"clip_value": 0.5}, [-0.5, 0.5, -0.25]),
    ],
)
def test_clipping(gradient, dtype, options, expected):
    parameter = parameter_with(gradient, dtype)
    dl.SGD(1.0, **options).step({"w": parameter})
    assert parameter.value == pytest.approx(expected, rel=1e-7)
    assert parameter.grad.tolist() == np.array(gradient, dtype).tolist()


@pytest.mark.parametrize(
    ("gradient", "message"),
    [([1.0, np.nan], "gradient of w:.*index"), ([1e200, 1e200], "clip_norm: expected gradients with a finite")],
)
def test_gradients_without_a_finite_norm_are_refused(gradient, message):
    parameter = parameter_with(gradient)
    with pytest.raises(dl.NonFiniteError, match=message):
        dl.SGD(1.0, clip_norm=1.0).step({"w": parameter})
    assert parameter.value.tolist() == [0.0, 0.0]


# ---- freezing


def test_frozen_values_do_not_change_and_gradients_stay_correct():
    trainer = trainer_with(dl.Adam(0.1))
    model, first = trainer.model, trainer.model.network.layers[1]
    first.freeze()
    before = {path: array.tobytes() for path, array in model.weights().items()}
    fit(trainer, {}, 2)
    changed = {path for path, array in model.weights().items() if array.tobytes() != before[path]}
    assert changed == set(trainer.optimizer.state) == {"3.weight", "3.bias"}
    double = model.astype(np.float64)
    assert not double.parameters["1.weight"].trainable
    dl.check_model(double, images(5).x, images(5).y).assert_ok()


# ---- constructors

DEFAULTS = {
    dl.SGD: {"momentum": 0.0, "nesterov": False, "clip_norm": None, "clip_value": None},
    dl.Adagrad: {"epsilon": 1e-10},
    dl.RMSProp: {"rho": 0.99, "epsilon": 1e-8, "momentum": 0.0},
    dl.Adam: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    dl.AdamW: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
    dl.NAdam: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "momentum_decay": 0.004},
}


@every_class
def test_the_defaults_are_those_of_the_papers_or_of_pytorch(cls):
    optimizer = cls(0.1)
    assert {name: getattr(optimizer, name) for name in DEFAULTS[cls]} == DEFAULTS[cls]


ADAMS = dl.Adam, dl.AdamW, dl.NAdam


@pytest.mark.parametrize(
    ("classes", "name", "wrong", "right"),
    [
        ((dl.SGD, dl.RMSProp), "momentum", (-0.1, 1, "x"), (0, 0.99)),
        *((ADAMS, beta, (-0.1, 1), (0, 0.99)) for beta in ("beta1", "beta2")),
        ((dl.RMSProp,), "rho", (-0.1, 1), (0, 0.99)),
        ((dl.Adagrad, dl.RMSProp, *ADAMS), "epsilon", (0, -1, "x"), (1e-300, 2)),
        ((dl.AdamW,), "weight_decay", (-1,), (0, 2)),
        ((dl.NAdam,), "momentum_decay", (-1,), (0, 2)),
        *((OPTIMIZERS, clip, (0, -1), (1e-300, 2)) for clip in ("clip_norm", "clip_value")),
    ],
)
def test_valid_values_of_options(classes, name, wrong, right):
    for cls in classes:
        for value in wrong:
            with pytest.raises(dl.InputError, match=f"^{name}: expected"):
                cls(0.1, **{name: value})
        assert [getattr(cls(0.1, **{name: value}), name) for value in right] == list(right)


def test_options_that_cannot_be_combined_are_refused():
    with pytest.raises(dl.InputError, match="nesterov: expected momentum > 0"):
        dl.SGD(0.1, nesterov=True)
    with pytest.raises(dl.InputError, match=r"nesterov: expected True or False, got 0\.9"):
        dl.SGD(0.1, 0.9, 0.9)
    with pytest.raises(dl.InputError, match=r"clip_norm or clip_value, got both \(1 and 1\)"):
        dl.SGD(0.1, clip_norm=1, clip_value=1)


def parameter_with(gradient, dtype=np.float64):
    """A parameter at 0 with this gradient."""
    parameter = dl.Parameter(np.zeros(np.shape(gradient)), dtype=dtype)
    parameter.add_grad(np.array(gradient, dtype=dtype))
    return parameter


def trainer_with(optimizer):
    return dl.Trainer(usual_run()[0].model, optimizer, rng=0)
