"""What holds for the package as a whole: its public names, its imports, its weight at start."""

import ast
import graphlib
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

ORDER = [
    *("_core", "_storage", "data", "report", "nn", "plotting gradcheck", "training", "diagnostics", "testing"),
    *("sweeps", "sklearn", "__init__", "lab_report", "cli", "__main__"),
]
FLOOR = {name: number for number, names in enumerate(ORDER) for name in names.split()}
KNOWN_CIRCLES = {("minidl.training.callback", "minidl.training.trainer")}


def arrows():
    """Yield (module, the module of minidl that it imports), for type checkers alone or not."""
    for module, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names if alias.name.split(".")[0] == "minidl")
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minidl":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield module, inner if inner in SOURCES else node.module


def room(module):
    return [*module.split("."), "__init__"][1]


def test_the_rooms_are_those_of_the_order():
    assert {room(module) for module in SOURCES} == set(FLOOR)


def test_imports_run_one_way():
    ways = set(arrows())
    assert len(ways) > 200
    up = [(a, b) for a, b in ways if room(a) != room(b) and FLOOR[room(b)] >= FLOOR[room(a)]]
    assert up == []


def test_no_imports_run_in_a_circle():
    ahead = {module: set() for module in SOURCES}
    for module, other in set(arrows()) - KNOWN_CIRCLES:
        ahead[module].add(other)
    # A circle raises, and names its modules.
    assert set(graphlib.TopologicalSorter(ahead).static_order()) == set(SOURCES)


def test_the_trainer_knows_no_callback_but_the_interface():
    known = {other for module, other in arrows() if module == "minidl.training.trainer" and ".callback" in other}
    assert known == {"minidl.training.callback"}


def test_the_face_writes_each_name_once():
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert len(minidl.__all__) == len(set(minidl.__all__))
    assert len(text.splitlines()) <= 110
    for home, names in minidl._LAZY.items():
        if home != "plotting":
            assert names == importlib.import_module(f"minidl.{home}").__all__
        for name in names:
            assert text.count(f'"{name}"') == 1


def test_dir_lists_the_public_names_alone():
    assert dir(minidl) == sorted(minidl.__all__)


def test_a_misspelt_name_is_an_error_for_type_checkers():
    """They would take any name of a module that shows them a `__getattr__`."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "not TYPE_CHECKING")
    ]
    assert "__getattr__" not in "".join(map(ast.unparse, seen))
    assert callable(minidl.__getattr__)


@pytest.mark.parametrize("home", minidl._LAZY)
def test_what_is_imported_later_comes_when_it_is_asked_for(home):
    asked = [*minidl._LAZY[home], home][0]
    code = f"import minidl, sys; print('minidl.{home}' in sys.modules); minidl.{asked}"
    code += "".join(
        f"; assert minidl.{name} is minidl.{home}.{name}; assert {name!r} in dir(minidl)" for name in minidl._LAZY[home]
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "False\n"


@pytest.mark.parametrize(("name", "meant"), [("Dens", "Dense"), ("Relu", "ReLU"), ("l2", "L2")])
def test_a_name_that_is_not_there_is_told_with_the_nearest(name, meant):
    with pytest.raises(AttributeError, match=rf"^minidl has no '{name}'; did you mean '{meant}'\?$"):
        getattr(minidl, name)


@pytest.mark.parametrize("name", ["sklearn", "testing"])
def test_a_module_that_needs_other_packages_is_not_taken_for_a_misspelt_name(name):
    code = f"import minidl; minidl.{name}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert told.endswith(f"import minidl.{name}\n")


@pytest.mark.parametrize("name", minidl.__all__)
def test_every_public_name_and_its_public_methods_are_documented(name):
    thing = getattr(minidl, name)
    assert thing.__doc__
    if isinstance(thing, type) and not issubclass(thing, Exception):
        for method, function in vars(thing).items():
            if callable(function) and not method.startswith("_"):
                assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"


LATER = {
    *("matplotlib", "tqdm", "PIL", "urllib.request", "tarfile", "gzip"),
    *("subprocess", "argparse", "hypothesis", "sklearn"),
}


def test_importing_minidl_and_its_data_sets_brings_nothing_that_is_needed_later():
    code = "import sys, minidl, minidl.data.datasets; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not (LATER | {"minidl.cli", "minidl.testing", "minidl.sklearn"}) & set(told.split())


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").exists()
