"""import: minidl starts, trains and saves even if NumPy finds no SIMD instruction set."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minidl._core.environment import simd_features

PROGRAM = """
import sys
import numpy as np
import minidl as dl
from minidl._core.environment import simd_features

assert simd_features() == [], simd_features()
data = dl.Dataset(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1])
model = dl.Model(dl.Sequential(dl.Dense(3, 2, rng=0)), dl.SoftmaxCrossEntropy())
trainer = dl.Trainer(model, dl.SGD(0.1), [dl.Checkpoint(sys.argv[1])], rng=0)
trainer.fit(data, epochs=1, batch_size=4)
again = dl.Trainer(model, dl.SGD(0.1), [dl.Checkpoint(sys.argv[1])], rng=0)
again.fit(data, epochs=2, batch_size=4, resume_from=sys.argv[1])
print(again.step)
"""


def test_it_works_on_a_processor_for_which_numpy_has_nothing_to_dispatch(tmp_path):
    features = simd_features()
    if not features:
        pytest.skip("NumPy finds nothing to dispatch on this processor, so that every other test shows the same")
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "MINIDL_VERBOSE": "0"}
    probe = "import numpy as np; print('found' in np.show_config(mode='dicts').get('SIMD Extensions', {}))"
    found = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True)
    if found.stdout.strip() != "False":
        pytest.skip(f"NumPy {np.__version__} does not disable {features}: {found.stdout} {found.stderr[-300:]}")
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "run")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "2\n"), run.stderr


@pytest.mark.parametrize("config", [{}, {"SIMD Extensions": {"baseline": ["X86_V2"]}}])
def test_a_numpy_that_lists_no_extensions_has_none(config, monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    assert simd_features() == []
