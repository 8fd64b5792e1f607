"""The README's programs run as they stand and do what it says, and it is short."""

import re
from pathlib import Path

import minidl as dl

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_program_trains_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    def small(*_, **__):
        return tuple(dl.datasets.synthetic_images(300, rng=part) for part in range(3))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dl.datasets, "load_cifar10_course_split", small)  # the tests need no network
    exec(PROGRAMS[0].replace("epochs=40", "epochs=2"), {})
    assert re.match(r"\{'cost': .*, 'loss': .*, 'accuracy': 0\.\d+\}", capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("cost", "loss", "weights") for suffix in ("png", "svg")
    }


def test_the_last_program_checks_a_layer_of_ones_own(capsys):
    exec(PROGRAMS[1], {"__name__": "program"})
    assert capsys.readouterr().out.startswith("PASS  check_layer(Scale(), x of shape (3, 5))\n")


def test_there_are_no_other_programs():
    assert len(PROGRAMS) == 2


def test_it_has_what_a_newcomer_needs_and_no_more():
    assert len(README.splitlines()) <= 120
    assert "\npip install -e . && python examples/cifar_softmax.py\n" in README
    assert '\npip install -e ".[test]" && pytest\n' in README
