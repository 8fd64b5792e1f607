"""No file that minidl reads can run code, and only one part writes files: checked in the source's syntax."""

import ast
import re
from pathlib import Path

import pytest

import minidl

ROOT = Path(minidl.__file__).parent
SOURCES = {path.relative_to(ROOT.parent).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def _any(words):
    return f"({'|'.join(words.split())})"


UNPICKLERS = _any(
    "pickle _pickle cPickle marshal shelve dbm dill cloudpickle joblib jsonpickle yaml copyreg runpy code codeop"
    " tarfile zipfile"
)
NUMPY_LOADERS = _any("load save savez savez_compressed loadtxt genfromtxt DataSource memmap")
FORMAT_READERS = _any("read_array write_array read_array_header_1_0 read_array_header_2_0")
EXTRACTORS = _any("extract extractall unpack_archive")
RUNNERS = r"os\." + _any("system popen fork execv execve execvp spawnv startfile")
WRITERS = _any(
    "unlink rename renames mkdir makedirs rmdir removedirs touch write_text write_bytes symlink_to hardlink_to chmod"
    " tofile truncate link symlink mkstemp mkdtemp rmtree copyfile TemporaryFile NamedTemporaryFile"
    " SpooledTemporaryFile TemporaryDirectory"
)
# Forbidden actions of a reader, as patterns of imports, names (with or without a prefix, also when only passed on),
# calls and options.
RULES = {
    "imports what runs or unpacks code": rf"import {UNPICKLERS}(\..*)?|import numpy\.lib\.(format|npyio).*"
    rf"|import importlib\.util.*|import .*\.(eval|exec|__import__|execfile|mktemp|{EXTRACTORS})"
    rf"|import {RUNNERS}|calls (importlib\.)?import_module",
    "reads pickled arrays": rf"import numpy\..*{NUMPY_LOADERS}|name (np|numpy)\.{NUMPY_LOADERS}"
    rf"|name .*\.{FORMAT_READERS}|option allow_pickle=.*",
    "evaluates": r"name (eval|exec|compile|__import__|execfile|builtins\..*)",
    "extracts": rf"name .*\.{EXTRACTORS}",
    "mktemp": r"name .*\.mktemp",
    "starts a shell": rf"name {RUNNERS}|option shell=(?!False$).*",
    "starts a process": r"calls subprocess\..*",
    "writes": rf"calls (.*\.)?{WRITERS}|calls os\.(remove|replace)"
    r"|calls shutil\.(?!(which|copyfileobj|disk_usage|get_terminal_size)$).*"
    r"|call os\.open\([^,]*, (?!os\.O_RDONLY).*|call .*\.savefig\((?!content\b).*"
    # Any mode that is not for reading, and Path.replace, which has one argument.
    r"|call (open|io\.open|os\.fdopen)\((.*, mode=(?!'r[bt]?').*|[^,]*, (?!'r[bt]?'|\w+=).*)"
    r"|call .*\.open\('[rwaxbt+]*[wax+].*|call .*\.replace\((?!\w+=)[^,]*\)",
}

ALLOWED = {
    # All writing is done here; a lock needs a file of its own.
    ("minidl/_storage/files.py", "writes"),
    ("minidl/_storage/locks.py", "writes"),
    # An npm process writes its package and its messages into a temporary folder and a temporary file.
    ("minidl/data/datasets/download.py", "writes"),
    ("minidl/data/datasets/download.py", "starts a process"),
    # CIFAR-10 is published in a .tar.gz: tarfile reads a stream and writes nothing.
    ("minidl/data/datasets/cifar10_formats.py", "imports what runs or unpacks code"),
    # `minidl checkgrad` runs the module that its user names on the command line, as `python` does; no file names one.
    ("minidl/cli/submission.py", "imports what runs or unpacks code"),
    # Each of several modules runs in its own Python process.
    ("minidl/cli/checkgrad.py", "starts a process"),
    # `minidl verify` trains again in a temporary folder.
    ("minidl/lab_report/verify.py", "writes"),
    # A contract saves and reads real checkpoints in a temporary folder.
    ("minidl/testing/callback_contract.py", "writes"),
    # The package imports its own modules on first use, by a table of constants.
    ("minidl/__init__.py", "imports what runs or unpacks code"),
}


def faults(source):
    """Yield (line, action, text) of everything that only certain modules may do."""
    for node in ast.walk(ast.parse(source)):
        for said in _said(node):
            for fault, pattern in RULES.items():
                if re.fullmatch(pattern, said, re.DOTALL):
                    yield node.lineno, fault, said[:100]


def _said(node):
    match node:
        case ast.Import(names):
            return [f"import {alias.name}" for alias in names]
        case ast.ImportFrom(module, names):
            return [f"import {module}", *(f"import {module}.{alias.name}" for alias in names)]
        case ast.Name() | ast.Attribute():
            return [f"name {ast.unparse(node)}"]
        case ast.keyword(name, value):
            return [f"option {name}={ast.unparse(value)}"]
        case ast.Call():
            return [f"calls {ast.unparse(node.func)}", f"call {ast.unparse(node)}"]
    return []


def test_only_allowed_modules_run_code_or_write_files():
    assert len(SOURCES) > 100
    found = {
        (name, fault): f"line {line}: {text}"
        for name, path in SOURCES.items()
        for line, fault, text in faults(path.read_text(encoding="utf-8"))
    }
    assert found.keys() == ALLOWED, {place: text for place, text in found.items() if place not in ALLOWED}


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
        open(path, 'w') ~ open(path, mode='ab') ~ open(path, encoding='ascii', mode='w') ~
        open(path, 'r+b') ~ open(path, mode) ~ io.open(path, 'x') ~
        Path(path).open('w') ~ path.write_text(text) ~ path.write_bytes(content) ~ Path(path).unlink() ~
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
def test_a_planted_fault_is_found(source, fault):
    assert fault in {found for _, found, _ in faults(source)}


def test_code_that_resembles_a_fault_is_allowed():
    sound = """
        re.compile(pattern); text.replace("a", "b"); open(path, "rb"); open(descriptor); model.load_weights(path)
        os.open(path, os.O_RDONLY); json.load(file); np.fromfile(file); self.compile(x); evaluate(x); x.save(path)
    """
    assert list(faults("\n".join(line.strip() for line in sound.splitlines()))) == []
