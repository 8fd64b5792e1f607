"""The README's programs run as they stand."""

import re
from pathlib import Path

import pytest

import minidl as dl

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
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
    exec(PROGRAMS[2], {"__name__": "program"})
    assert capsys.readouterr().out.startswith("PASS  check_layer(Scale(), x of shape (3, 5))\n")


def test_the_deeper_program_trains_and_saves(tmp_path, monkeypatch, capsys):
    def small():
        return [dl.datasets.synthetic_images(n, rng=n) for n in (100, 20, 20)]

    monkeypatch.setattr(dl.datasets, "load_cifar10_split", small)
    monkeypatch.chdir(tmp_path)
    exec(PROGRAMS[1], {})
    assert "82,858 parameters" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()


def test_the_program_after_training_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(PROGRAMS[3], {})
    assert "{'accuracy': 0." in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "true-class.png", "true-class.svg"}


def test_there_are_no_other_programs():
    assert len(PROGRAMS) == 4


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert link.startswith("https://") or (Path(__file__).parent.parent / link).exists()
