"""State that instances share, arrays that calls overwrite, layouts in memory: for any input, each by its name."""

import re

import pytest
from planted import FAULTS, contracts
from planted.numbers import signed
from seeds import SEEDS
from small_parts import SquaredError

import minidl as dl
from minidl import Verdict

pytestmark = pytest.mark.scaled
BY_NAME = {fault.name: fault for fault in FAULTS}


def batches():
    """Yield batches of one to six rows, also of equal ones."""
    for seed in SEEDS:
        yield seed, signed(1 + seed % 6, 4, seed=seed) * (seed % 5 != 0) + 0.5


@pytest.mark.parametrize(
    "name",
    [
        *("ClassCache", "DefaultCache", "GlobalCache", "SharedOutput", "SharedGradient", "SharedInNetwork"),
        *("OverwritesOutput", "ParametersAloneOverwriteOutput"),
        *("GradientOfCopy", "WeightInMemoryOrder", "WritesWeight"),
    ],
)
def test_a_fault_of_memory_is_named_for_any_batch(name):
    for seed, x in batches():
        report = dl.check_layer(BY_NAME[name].make()[0], x, seed=seed)
        assert report.verdict is Verdict.FAIL_CONTRACT, report
        assert any(re.search(BY_NAME[name].says, str(finding)) for finding in report.findings), report


@pytest.mark.parametrize("name", ["SharedLoss", "SharedRows", "TargetsInMemoryOrder"])
def test_a_loss_with_a_fault_of_memory_is_named_for_any_batch(name):
    for seed in SEEDS:
        z = signed(2 + seed % 5, 3, seed=seed)
        report = dl.check_loss(BY_NAME[name].make()[0], z, signed(*z.shape, seed=seed + 1), seed=seed)
        assert report.verdict is Verdict.FAIL_CONTRACT, report
        assert any(re.search(BY_NAME[name].says, str(finding)) for finding in report.findings), report


def test_layers_that_share_a_cache_are_reported():
    for seed in SEEDS:
        x = signed(3, 4, seed=seed)
        model = dl.Model(contracts.SharedInNetwork(), SquaredError())
        report = dl.check_model(model, x, signed(3, 4, seed=seed + 1), seed=seed)
        assert contracts.SHARED in str(report.findings[0]), report


class Named(contracts.Cached):
    """Right: what instances keep in one dict is apart, by their identity."""

    held = {}  # noqa: RUF012

    def cache(self):
        return self.held.setdefault(id(self), {})


class Scratch(contracts.Scale):
    """Right: instances share memory that no call leaves to another."""

    def forward(self, x, train=False):
        return contracts.workspace(contracts.WORKSPACES, "scratch", super().forward(x, train)).copy()


@pytest.mark.parametrize("make", [contracts.Workspaces, Named, Scratch, lambda: dl.Sequential(Named(), Named())])
def test_memory_that_is_used_again_and_harms_nobody_is_no_fault(make):
    for seed, x in batches():
        report = dl.check_layer(make(), x, seed=seed)
        assert report.ok, report
