"""What holds for the package as a whole: its public names, its imports, its weight at start."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)

# A module may import from its own floor and from those below it.
FLOORS = [
    {"errors", "types"},
    {
        "bars",
        "checks",
        "environment",
        "file_kinds",
        "files",
        "interrupts",
        "page",
        "prefetch",
        "products",
        "randomness",
        "reprs",
        "special",
        "spelling",
        "tables",
    },
    {"images", "tensorfile"},
    {"checkpoint", "initializers", "metrics", "regularizers", "plotting", "schedules"},
    {"memory", "parameter", "augmentation", "data", "splits", "losses"},
    {"layers", "optimizers", "datasets", "history", "report", "describe", "summary", "comparison"},
    {"model", "ensemble", "callbacks", "nonfinite", "resume", "sweeps"},
    {"trainer", "gradcheck", "diagnostics"},
    {"testing", "sklearn", "lab_report"},
    {"cli", "__main__"},
]
EXTRAS = {"sklearn"}  # modules that need the package of their own name
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imports_when_run(tree):
    """The minidl modules that a module imports, those for type checkers alone left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "minidl":
            names = [alias.name for alias in node.names] if node.module == "minidl" else [node.module.split(".")[1]]
            yield from names
        else:
            yield from imports_when_run(node)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "minidl"])
def test_imports_run_one_way(module):
    own = module.split(".")[1]
    if own in EXTRAS:
        pytest.importorskip(own, reason=f"{module} needs the extra {own}")
    path = Path(importlib.import_module(module).__file__)
    wrong = [name for name in imports_when_run(ast.parse(path.read_text())) if FLOOR[name] > FLOOR[own]]
    assert wrong == []


def test_the_trainer_knows_no_callback_but_the_interface():
    tree = ast.parse((PACKAGE / "trainer.py").read_text())
    from_callbacks = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and "callbacks" in n.module]
    assert from_callbacks == ["minidl.callbacks.base"]


def imported_names(body):
    """The names that import statements bring, each with the module of minidl that it comes from."""
    statements = [node for node in body if isinstance(node, ast.ImportFrom) and node.module.startswith("minidl")]
    return {alias.asname or alias.name: node.module for node in statements for alias in node.names}


def test_all_names_what_is_imported_and_nothing_else():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    for_type_checkers = next(node for node in tree.body if isinstance(node, ast.If))
    now, later = imported_names(tree.body), imported_names(for_type_checkers.body)
    assert set(minidl.__all__) == {*now, *later}
    assert len(minidl.__all__) == len(set(minidl.__all__))
    # What type checkers are told is what comes when it is asked for.
    assert {name: home for name, home in later.items() if home != "minidl"} == {
        name: f"minidl.{home}" for home, names in minidl._WHEN_NEEDED.items() for name in names
    }


def test_a_misspelt_name_is_an_error_for_type_checkers():
    """They would take any name of a module that shows them a `__getattr__`."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "not TYPE_CHECKING")
    ]
    assert "__getattr__" not in "".join(map(ast.unparse, seen))
    assert callable(minidl.__getattr__)


@pytest.mark.parametrize("home", minidl._WHEN_NEEDED)
def test_what_is_imported_later_comes_when_it_is_asked_for(home):
    code = f"import minidl, sys; print('minidl.{home}' in sys.modules); minidl.{home}"
    code += "".join(
        f"; assert minidl.{name} is minidl.{home}.{name}; assert {name!r} in dir(minidl)"
        for name in minidl._WHEN_NEEDED[home]
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
    assert told.endswith(f"AttributeError: minidl.{name} has to be imported by itself: import minidl.{name}\n")


@pytest.mark.parametrize("name", minidl.__all__)
def test_every_public_name_and_its_public_methods_are_documented(name):
    thing = getattr(minidl, name)
    assert thing.__doc__
    if isinstance(thing, type) and not issubclass(thing, Exception):
        for method, function in vars(thing).items():
            if callable(function) and not method.startswith("_"):
                assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"


def test_importing_minidl_brings_neither_matplotlib_nor_tqdm():
    code = "import minidl, sys; print([m for m in ('matplotlib', 'tqdm', 'PIL', 'urllib.request') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").exists()


def test_nothing_in_the_package_unpickles_evaluates_or_extracts():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "marshal", "shelve"} & set(names), path
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert called not in {"eval", "exec", "extractall", "system"}, f"{path}:{node.lineno}"
                assert not any(k.arg == "shell" for k in node.keywords), f"{path}:{node.lineno}"


def test_every_write_goes_through_the_one_door():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert called not in {"write_text", "write_bytes", "tofile", "save", "savez"}, f"{path}:{node.lineno}"
                if called == "open":
                    modes = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
                    assert not any(set(str(mode)) & set("wxa+") for mode in modes), f"{path}:{node.lineno}"
