"""No file that minidl reads can make it run code, and one module alone writes: shown on the source, by its syntax."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import minidl

ROOT = Path(minidl.__file__).parent
SOURCES = {path.relative_to(ROOT.parent).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dbm", "dill", "cloudpickle", "joblib", "jsonpickle"}
UNPICKLERS |= {"yaml", "copyreg", "runpy", "code", "codeop", "tarfile", "zipfile"}
EVALUATORS = {"eval", "exec", "compile", "__import__", "execfile"}
RUNNERS = {"os.system", "os.popen", "os.fork", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.startfile"}
NUMPY_LOADERS = {"load", "save", "savez", "savez_compressed", "loadtxt", "genfromtxt", "DataSource", "memmap"}
FORMAT_READERS = {"read_array", "write_array", "read_array_header_1_0", "read_array_header_2_0"}
EXTRACTORS = {"extract", "extractall", "unpack_archive"}
WRITERS = {
    "unlink",
    "rename",
    "renames",
    "mkdir",
    "makedirs",
    "rmdir",
    "removedirs",
    "touch",
    "write_text",
    "write_bytes",
}
WRITERS |= {"symlink_to", "hardlink_to", "chmod", "tofile", "truncate", "link", "symlink", "TemporaryFile"}
WRITERS |= {
    "NamedTemporaryFile",
    "SpooledTemporaryFile",
    "TemporaryDirectory",
    "mkstemp",
    "mkdtemp",
    "rmtree",
    "copyfile",
}

ALLOWED = {
    # The one door to the disk.
    ("minidl/_storage/files.py", "writes"),
    # An npm process writes its package and its messages into a folder and a nameless file of its own, both gone at the
    # end; where that folder may lie has to be there before.
    ("minidl/data/datasets/download.py", "writes"),
    ("minidl/data/datasets/download.py", "starts a process"),
    # CIFAR-10 is published as pickles in a .tar.gz. The unpickler sees them after a scan of their opcodes, and can call
    # stand-ins that record their arguments, and nothing else; tarfile reads a stream and writes nothing.
    ("minidl/data/datasets/cifar10_formats.py", "imports what runs or unpacks code"),
    # `minidl checkgrad` runs the module that its user names on the command line, as `python` does; no file names one.
    ("minidl/cli/checkgrad.py", "imports what runs or unpacks code"),
    # The package imports its own modules, by a table of constants, when they are first asked for.
    ("minidl/__init__.py", "imports what runs or unpacks code"),
}


def faults(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, what it does, the text) of all that a reader of files must not do, or only in its own place."""
    for node in ast.walk(ast.parse(source)):
        for fault in _faults_of(node):
            yield node.lineno, fault, ast.unparse(node)[:100]  # type: ignore[attr-defined]


def _faults_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names):
            yield from _imported(alias.name for alias in names)
        case ast.ImportFrom(module, names):
            yield from _imported([module or "", *(f"{module}.{alias.name}" for alias in names)])
        case ast.Name(name) if name in EVALUATORS:  # also when it is only handed on
            yield "evaluates"
        case ast.Attribute(_, name) if name in EXTRACTORS:
            yield "extracts"
        case ast.Attribute(_, "mktemp"):
            yield "mktemp"
        case ast.Attribute() if ast.unparse(node) in RUNNERS:
            yield "starts a shell"
        case ast.Attribute(_, name) if name in FORMAT_READERS:
            yield "reads pickled arrays"
        case ast.Attribute(ast.Name("np" | "numpy"), name) if name in NUMPY_LOADERS:
            yield "reads pickled arrays"
        case ast.Attribute(ast.Name("builtins"), _):
            yield "evaluates"
        case ast.keyword("shell", value) if not (isinstance(value, ast.Constant) and value.value is False):
            yield "starts a shell"
        case ast.keyword("allow_pickle", _):
            yield "reads pickled arrays"
        case ast.Call(function, arguments, keywords):
            yield from _called(ast.unparse(function), arguments, keywords)


def _imported(names: Iterator[str] | list[str]) -> Iterator[str]:
    for name in names:
        if name.split(".")[0] in UNPICKLERS or name.startswith(
            ("numpy.lib.format", "numpy.lib.npyio", "importlib.util")
        ):
            yield "imports what runs or unpacks code"
        if name.split(".")[-1] in EVALUATORS - {"compile"} | EXTRACTORS | {"mktemp"} or name in RUNNERS:
            yield "imports what runs or unpacks code"
        if name.split(".")[-1] in NUMPY_LOADERS and name.startswith("numpy."):
            yield "reads pickled arrays"


def _called(function: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> Iterator[str]:
    name = function.split(".")[-1]
    if function.startswith("subprocess."):
        yield "starts a process"
    if function in ("importlib.import_module", "import_module"):
        yield "imports what runs or unpacks code"
    if name in WRITERS or function in ("os.remove", "os.replace"):
        yield "writes"
    if function.startswith("shutil.") and name not in ("which", "copyfileobj", "disk_usage", "get_terminal_size"):
        yield "writes"
    if function == "os.open" and not ast.unparse(arguments[1]).startswith("os.O_RDONLY"):
        yield "writes"
    if name == "replace" and len(arguments) == 1 and not keywords:  # Path.replace; str.replace takes two
        yield "writes"
    if name == "savefig" and not (arguments and ast.unparse(arguments[0]) == "content"):
        yield "writes"
    if function in ("open", "io.open", "os.fdopen"):
        mode = next((keyword.value for keyword in keywords if keyword.arg == "mode"), (arguments[1:2] or [None])[0])
        if mode is not None and not (isinstance(mode, ast.Constant) and not set("wax+") & set(str(mode.value))):
            yield "writes"
    elif name == "open" and arguments and isinstance(arguments[0], ast.Constant):  # a method, as of Path
        yield from ["writes"] if set("wax+") & set(str(arguments[0].value)) else []


def test_no_module_runs_what_it_reads_and_one_alone_writes() -> None:
    assert len(SOURCES) > 100
    found = [
        f"{name}:{line}: {fault}: {text}"
        for name, path in SOURCES.items()
        for line, fault, text in faults(path.read_text(encoding="utf-8"))
        if (name, fault) not in ALLOWED
    ]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    for name, allowed in ALLOWED:
        assert any(fault == allowed for _, fault, _ in faults(SOURCES[name].read_text(encoding="utf-8"))), (
            name,
            allowed,
        )


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pickle", "imports what runs or unpacks code"),
        ("import pickle as json", "imports what runs or unpacks code"),
        ("import os, marshal", "imports what runs or unpacks code"),
        ("from pickle import loads", "imports what runs or unpacks code"),
        ("def f():\n    from dill import load", "imports what runs or unpacks code"),
        ("import shelve", "imports what runs or unpacks code"),
        ("import joblib.numpy_pickle", "imports what runs or unpacks code"),
        ("import cloudpickle", "imports what runs or unpacks code"),
        ("import tarfile", "imports what runs or unpacks code"),
        ("from shutil import unpack_archive", "imports what runs or unpacks code"),
        ("from numpy.lib import format", "imports what runs or unpacks code"),
        ("from numpy.lib.format import read_array", "imports what runs or unpacks code"),
        ("from builtins import eval as f", "imports what runs or unpacks code"),
        ("from tempfile import mktemp", "imports what runs or unpacks code"),
        ("from os import system", "imports what runs or unpacks code"),
        ("importlib.import_module(name)", "imports what runs or unpacks code"),
        ("eval(text)", "evaluates"),
        ("exec(text)", "evaluates"),
        ("compile(text, '', 'exec')", "evaluates"),
        ("f = eval", "evaluates"),
        ("map(exec, lines)", "evaluates"),
        ("__import__(name)", "evaluates"),
        ("builtins.exec(text)", "evaluates"),
        ("np.load(path)", "reads pickled arrays"),
        ("np.load(path, allow_pickle=True)", "reads pickled arrays"),
        ("numpy.save(path, array)", "reads pickled arrays"),
        ("from numpy import load", "reads pickled arrays"),
        ("read = np.load", "reads pickled arrays"),
        ("f(path, allow_pickle=flag)", "reads pickled arrays"),
        ("np.lib.format.read_array(file)", "reads pickled arrays"),
        ("archive.extract(member)", "extracts"),
        ("archive.extractall()", "extracts"),
        ("shutil.unpack_archive(path)", "extracts"),
        ("tempfile.mktemp()", "mktemp"),
        ("subprocess.run(text, shell=True)", "starts a shell"),
        ("run(text, shell=flag)", "starts a shell"),
        ("os.system(text)", "starts a shell"),
        ("os.popen(text)", "starts a shell"),
        ("subprocess.Popen(['npm'])", "starts a process"),
        ("open(path, 'w')", "writes"),
        ("open(path, mode='ab')", "writes"),
        ("open(path, 'r+b')", "writes"),
        ("open(path, mode)", "writes"),
        ("io.open(path, 'x')", "writes"),
        ("Path(path).open('w')", "writes"),
        ("path.write_text(text)", "writes"),
        ("path.write_bytes(content)", "writes"),
        ("path.unlink()", "writes"),
        ("path.rename(other)", "writes"),
        ("path.replace(other)", "writes"),
        ("path.mkdir()", "writes"),
        ("path.touch()", "writes"),
        ("os.replace(path, other)", "writes"),
        ("os.remove(path)", "writes"),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", "writes"),
        ("os.open(path, _CREATE)", "writes"),
        ("shutil.move(path, other)", "writes"),
        ("array.tofile(path)", "writes"),
        ("figure.savefig(path)", "writes"),
        ("TemporaryFile()", "writes"),
        ("tempfile.NamedTemporaryFile()", "writes"),
    ],
)
def test_a_planted_fault_is_found(source: str, fault: str) -> None:
    assert fault in {found for _, found, _ in faults(source)}


def test_what_only_looks_like_a_fault_is_none() -> None:
    sound = """
        re.compile(pattern); text.replace("a", "b"); open(path, "rb"); open(descriptor); model.load_weights(path)
        os.open(path, os.O_RDONLY); json.load(file); np.fromfile(file); self.compile(x); evaluate(x); x.save(path)
    """
    assert list(faults("\n".join(line.strip() for line in sound.splitlines()))) == []
