"""The optimizers compared with those of PyTorch."""

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl.training.optimizers.schedules import Schedule

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")


@pytest.fixture(autouse=True)
def in_double():
    """The scalars in the state of PyTorch's NAdam have the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


THEIR_NAMES = {"epsilon": "eps", "rho": "alpha"} | {name: name for name in ("momentum", "nesterov", "momentum_decay")}


def torch_twin(optimizer, penalized, others):
    """Return PyTorch's optimizer with the settings of ours; its rate is set at each step."""
    ours = vars(optimizer)
    options = {theirs: ours[name] for name, theirs in THEIR_NAMES.items() if name in ours}
    if "beta1" in ours:
        options["betas"] = ours["beta1"], ours["beta2"]
    decays = (penalized, ours.get("weight_decay", 0.0)), (others, 0.0)
    groups = [{"params": params, "weight_decay": decay} for params, decay in decays]
    return getattr(torch.optim, type(optimizer).__name__.replace("Prop", "prop"))(groups, 1.0, **options)


class Twin:
    """PyTorch's optimizer with the interface of ours."""

    def __init__(self, optimizer, parameters):
        self.optimizer = optimizer
        self.tensors = {p: torch.nn.Parameter(torch.tensor(parameter.value)) for p, parameter in parameters.items()}
        kinds = [[t for p, t in self.tensors.items() if parameters[p].penalized is kind] for kind in (True, False)]
        self.torch = torch_twin(optimizer, *kinds)

    def step(self, gradients, step):
        for path, tensor in self.tensors.items():
            tensor.grad = torch.tensor(gradients[path])
        o = self.optimizer
        if o.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.tensors.values(), o.clip_norm)
        if o.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.tensors.values(), o.clip_value)
        for group in self.torch.param_groups:
            group["lr"] = o.learning_rate(step) if isinstance(o.learning_rate, Schedule) else o.learning_rate
        self.torch.step()


# The tolerance of float32 is that of fifty roundings.
@pytest.mark.parametrize(("dtype", "bar"), [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize(
    "cls", [dl.SGD, dl.Adagrad, dl.RMSProp, dl.Adam, dl.AdamW, dl.NAdam], ids=lambda cls: cls.__name__
)
def test_fifty_steps_equal_those_of_pytorch(cls, dtype, bar):
    @settings(max_examples=15)
    @given(strategy_for(cls), st.integers(0, 1000))
    def same(optimizer, seed):
        rng = np.random.default_rng(seed)
        parameters = {
            "0.weight": dl.Parameter(np.asfortranarray(rng.normal(size=(4, 3))), dtype=dtype),
            "0.bias": dl.Parameter(rng.normal(size=3), penalized=False, dtype=dtype),
        }
        twin = Twin(optimizer, parameters)
        scales = {path: rng.uniform(0.5, 2.0, p.value.shape) for path, p in parameters.items()}
        largest = dict.fromkeys(parameters, 1.0)  # of all values on the way: rounding goes by it
        for step in range(50):
            # Both get the same gradients, so only the rule can make a difference.
            gradients = {
                path: (scales[path] * p.value + rng.normal(size=p.value.shape)).astype(dtype)
                for path, p in parameters.items()
            }
            for path, parameter in parameters.items():
                parameter.zero_grad()
                parameter.add_grad(gradients[path])
            optimizer.step(parameters)
            twin.step(gradients, step)
            largest = {path: max(large, np.abs(parameters[path].value).max()) for path, large in largest.items()}
        for path, parameter in parameters.items():
            expected = twin.tensors[path].detach().numpy()
            assert parameter.value.dtype == expected.dtype == dtype
            np.testing.assert_allclose(parameter.value, expected, rtol=0, atol=bar * largest[path])

    same()
