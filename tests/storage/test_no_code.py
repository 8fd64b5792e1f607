"""No file that minidl reads can make it run code, and one room alone writes: shown on the source, by its syntax."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import minidl

ROOT = Path(minidl.__file__).parent
SOURCES = {path.relative_to(ROOT.parent).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def _words(text: str) -> set[str]:
    return set(text.split())


UNPICKLERS = _words("pickle _pickle cPickle marshal shelve dbm dill cloudpickle joblib jsonpickle yaml copyreg")
UNPICKLERS |= {"runpy", "code", "codeop", "tarfile", "zipfile"}
EVALUATORS = {"eval", "exec", "compile", "__import__", "execfile"}
RUNNERS = {"os.system", "os.popen", "os.fork", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.startfile"}
NUMPY_LOADERS = {"load", "save", "savez", "savez_compressed", "loadtxt", "genfromtxt", "DataSource", "memmap"}
FORMAT_READERS = {"read_array", "write_array", "read_array_header_1_0", "read_array_header_2_0"}
EXTRACTORS = {"extract", "extractall", "unpack_archive"}
WRITERS = _words("unlink rename renames mkdir makedirs rmdir removedirs touch write_text write_bytes symlink_to")
WRITERS |= _words("hardlink_to chmod tofile truncate link symlink mkstemp mkdtemp rmtree copyfile TemporaryFile")
WRITERS |= {"NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryDirectory"}

ALLOWED = {
    # The one door to the disk, and the file that a lock is on.
    ("minidl/_storage/files.py", "writes"),
    ("minidl/_storage/locks.py", "writes"),
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
        first, last = name.split(".")[0], name.split(".")[-1]
        if first in UNPICKLERS or name.startswith(("numpy.lib.format", "numpy.lib.npyio", "importlib.util")):
            yield "imports what runs or unpacks code"
        if last in EVALUATORS - {"compile"} | EXTRACTORS | {"mktemp"} or name in RUNNERS:
            yield "imports what runs or unpacks code"
        if last in NUMPY_LOADERS and name.startswith("numpy."):
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


def test_no_module_runs_what_it_reads_and_one_room_alone_writes() -> None:
    assert len(SOURCES) > 100
    found = [
        f"{name}:{line}: {fault}: {text}"
        for name, path in SOURCES.items()
        for line, fault, text in faults(path.read_text(encoding="utf-8"))
        if (name, fault) not in ALLOWED
    ]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    needed = {(name, fault) for name, _ in ALLOWED for _, fault, _ in faults(SOURCES[name].read_text(encoding="utf-8"))}
    assert needed >= ALLOWED


PLANTED = {
    "imports what runs or unpacks code": """
        import pickle ~ import pickle as json ~ import os, marshal ~ from pickle import loads ~
        if f: from dill import load ~ import shelve ~ import joblib.numpy_pickle ~ import cloudpickle ~
        import tarfile ~ from shutil import unpack_archive ~ from numpy.lib import format ~
        from numpy.lib.format import read_array ~ from builtins import eval as f ~ from tempfile import mktemp ~
        from os import system ~ importlib.import_module(name)
    """,
    "evaluates": """
        eval(text) ~ exec(text) ~ compile(text, '', 'exec') ~ f = eval ~ map(exec, lines) ~ __import__(name) ~
        builtins.exec(text)
    """,
    "reads pickled arrays": """
        np.load(path) ~ np.load(path, allow_pickle=True) ~ numpy.save(path, array) ~ from numpy import load ~
        read = np.load ~ f(path, allow_pickle=flag) ~ np.lib.format.read_array(file)
    """,
    "extracts": "archive.extract(member) ~ archive.extractall() ~ shutil.unpack_archive(path)",
    "mktemp": "tempfile.mktemp()",
    "starts a shell": "subprocess.run(text, shell=True) ~ run(text, shell=flag) ~ os.system(text) ~ os.popen(text)",
    "starts a process": "subprocess.Popen(['npm'])",
    "writes": """
        open(path, 'w') ~ open(path, mode='ab') ~ open(path, 'r+b') ~ open(path, mode) ~ io.open(path, 'x') ~
        Path(path).open('w') ~ path.write_text(text) ~ path.write_bytes(content) ~ path.unlink() ~
        path.rename(other) ~ path.replace(other) ~ path.mkdir() ~ path.touch() ~ os.replace(path, other) ~
        os.remove(path) ~ os.open(path, os.O_WRONLY | os.O_CREAT) ~ os.open(path, _CREATE) ~
        shutil.move(path, other) ~ array.tofile(path) ~ figure.savefig(path) ~ TemporaryFile() ~
        tempfile.NamedTemporaryFile()
    """,
}


@pytest.mark.parametrize(
    ("source", "fault"),
    [(source.strip(), fault) for fault, sources in PLANTED.items() for source in sources.split(" ~")],
)
def test_a_planted_fault_is_found(source: str, fault: str) -> None:
    assert fault in {found for _, found, _ in faults(source)}


def test_what_only_looks_like_a_fault_is_none() -> None:
    sound = """
        re.compile(pattern); text.replace("a", "b"); open(path, "rb"); open(descriptor); model.load_weights(path)
        os.open(path, os.O_RDONLY); json.load(file); np.fromfile(file); self.compile(x); evaluate(x); x.save(path)
    """
    assert list(faults("\n".join(line.strip() for line in sound.splitlines()))) == []
