"""Damaged files by the thousand: what makes them, and a process of its own that reads them under watch.

A case is one damaged file. It has to end in the very object that the undamaged file holds, or in the one error that the
reader documents; soon, and in little memory; and meanwhile nothing may be started, imported, deleted or opened for
writing. Each case depends on seed and number alone, so that one that failed can be made again:
``python tests/support/fuzzing.py KIND SEED FIRST COUNT PATIENCE`` reads `COUNT` cases and prints a report in JSON.
"""

import contextlib
import faulthandler
import gzip
import hashlib
import json
import os
import pickletools
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path

import cifar_files as files

OPENING = b'{"__metadata__": {"minidl.sha256": "'
SECONDS_PER_CASE = 1.0  # of processor time; more is a hang
_MEASURED = 25  # one case in so many has its memory traced


def sealed(header, data=b""):
    """Return a weights file with a true digest, whatever else its header says behind that."""
    header = OPENING + b"0" * 64 + b'"' + header
    content = len(header).to_bytes(8, "little") + header + data
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def opened(content):
    """Return what `sealed` was given for a weights file; of a damaged one, whatever stands in that place."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end][len(OPENING) + 65 :], content[end:]


@dataclass
class Target:
    """One kind of file: whole examples of it, its reader, the reader's error, and what is known about its inside."""

    examples: list[bytes]
    read: Callable[[bytes], object]
    error: type[Exception]
    structured: Callable[[random.Random, bytes], bytes]
    expected: Callable[[bytes, bytes], object]
    """Of (undamaged, damaged) file: what may be returned, if anything; _NOTHING where the case has to be refused."""
    spare: int = 0
    """So many bytes come to the size of a file in the bound on memory."""
    prepare: Callable[[bytes], object] = len
    """Put a file where `read` finds it; not watched."""


@dataclass
class Report:
    """What came of the cases of one process."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


_NOTHING = object()

# Damage.

_NUMBERS = [0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 511, 512, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
_NUMBERS += [2**62, 2**63 - 1, 2**63, 2**64 - 1]


def damaged_bytes(rng, content):
    """Return `content` after one to four of the things that disks, networks and editors do to bytes."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at, length = rng.randrange(len(out) + 1), rng.choice((1, 1, 2, 4, 8, 40, 512))
        match rng.randrange(10):
            case 0 | 1 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(out):
                out[at] = rng.choice((0, 1, 0x20, 0x22, 0x5C, 0x7B, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 3:
                del out[at:]
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = rng.randbytes(length)
            case 6:
                out[at:at] = out[at : at + length]
            case 7:
                width = rng.choice((1, 2, 4, 8))
                number = rng.choice(_NUMBERS) % (1 << 8 * width)
                out[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
            case 8:
                out[at : at + length] = bytes(length)
            case _:
                other = rng.randrange(len(out) + 1)
                out[at : at + length] = out[other : other + length]
    return bytes(out)


_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+|[\[\]{},:]|true|false|null')
_JSON_VALUES = [b"true", b"null", b"NaN", b"-Infinity", b"1e3", b"-1", b"0.5", b"9" * 5000, b"18446744073709551615"]
_JSON_VALUES += [b"[" * 3000, b'{"a":' * 3000, b"[]", b"{}", b'""', b'"\\ud800"', b'"\xff"', b'"\0"', b'"__metadata__"']
_JSON_VALUES += [b'"%s"' % word for word in (b"minidl.sha256", b"O", b"F64", b"U8", b"BOOL", b"I8", b"U16", b"BF16")]
_JSON_VALUES += [b"%d" % number for number in (0, 1, 2, 3, 4, 8, 12)]


def damaged_json(rng, text):
    """Return JSON of which one to three tokens were replaced, doubled, moved or dropped."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        spans = [match.span() for match in _JSON_TOKEN.finditer(text)]
        if not spans:
            return text
        start, end = rng.choice(spans)
        other = slice(*rng.choice(spans))
        alike = [value for value in _JSON_VALUES if value[:1] == text[start : start + 1]] or _JSON_VALUES
        new = rng.choice(
            (rng.choice(alike), rng.choice(_JSON_VALUES), text[other], text[start:end] * 2, b"", b" " + text[start:end])
        )
        text = text[:start] + new + text[end:]
    return text


def _damaged_checkpoint(rng, content):
    """Damage the header by its grammar, or anything at all, and mostly give the file a true digest again."""
    if rng.random() < 0.3:
        return sealed(*opened(damaged_bytes(rng, content)))
    header, data = opened(content)
    places = list(re.finditer(rb"\[(\d+), (\d+)\]}", header))
    if places and rng.random() < 0.3:  # arrays that overlap, leave a hole, or lie in another order
        place, shift = rng.choice(places), rng.choice((-8, -4, -1, 1, 4, 8))
        start, end = (max(0, int(number) + shift) for number in place.groups())
        new = rng.choice((b"[%d, %d]}" % (start, end), rng.choice(places)[0]))
        header = header[: place.start()] + new + header[place.end() :]
    else:
        header = damaged_json(rng, header)
    content = sealed(header, data)
    if rng.random() < 0.2:  # without a digest, as another tool writes it
        content = content.replace(b"minidl.sha256", b"another.words", 1)
    return content if rng.random() < 0.8 else damaged_bytes(rng, content)


_OPCODES = [b"cos\nsystem\n", b"cnumpy\nload\n", b"T\xff\xff\xff\x7f", b"T\xff\xff\xff\xff", b"r\xff\xff\xff\xff", b"R"]
_OPCODES += [b"(" * 99, b"M\xff\xff", b"J\xff\xff\xff\x7f", b"Nh\x00", b"\x8e" + b"\xff" * 8]
_OPCODES += [b"q\x00h\x00\x86" * 30, b"b", b"."]


def _damaged_pickle(rng, content):
    """Return a pickle of which opcodes were dropped, doubled, moved, swapped or replaced."""
    starts = [position for _, _, position in pickletools.genops(content)]
    codes = [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        at, other = rng.randrange(len(codes)), rng.randrange(len(codes))
        match rng.randrange(6):
            case 0 if len(codes) > 1:
                del codes[at]
            case 1:
                codes.insert(at, codes[other])
            case 2:
                codes[at], codes[other] = codes[other], codes[at]
            case 3:
                codes[at] = codes[other]
            case 4:
                codes.insert(at, rng.choice(_OPCODES))
            case _ if codes[at]:
                codes[at] = damaged_bytes(rng, codes[at])
    return b"".join(codes)


def _damaged_tgz(rng, content):
    """Damage a tar inside its gzip: a header with a true check sum, or anything."""
    tar = bytearray(gzip.decompress(content))
    if rng.random() < 0.6:
        at = 512 * rng.choice([k for k in range(len(tar) // 512) if tar[512 * k + 257 : 512 * k + 262] == b"ustar"])
        header = tar[at : at + 512]
        place, width = rng.choice(((0, 100), (100, 8), (124, 12), (124, 12), (156, 1), (156, 1), (157, 100), (257, 8)))
        sizes = (b"00000000000\0", b"77777777777\0", b"-0000000001\0", b"\x80" + b"\xff" * 11, b"0000000001 ", b"9")
        new = rng.choice((*sizes, b"L", b"x", b"2", b"data_batch_1", b"../../x", rng.randbytes(width)))[:width]
        header[place : place + len(new)] = new
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
        tar[at : at + 512] = header
    else:
        tar[:] = damaged_bytes(rng, bytes(tar))
    return gzip.compress(bytes(tar), rng.choice((0, 1)), mtime=0)


def _damaged_npm(members, rng, content):
    """Damage one member of an npm package, a label file mostly by its tokens, or the archive."""
    if rng.random() < 0.2:
        return _damaged_tgz(rng, content)
    name = rng.choice([name for name in members if not name.endswith(".js")])
    damage = damaged_json if name.endswith(".json") and rng.random() < 0.8 else damaged_bytes
    return files.tgz(members | {name: damage(rng, members[name])})


# The kinds of files.


_DTYPES = {f"{code}{8 * size}": f"<{code.lower()}{size}" for code in "FIU" for size in (8, 4, 2)}
_DTYPES |= {"I8": "|i1", "U8": "|u1", "BOOL": "|b1", "BF16": "<f4"}


def _checkpoints(folder):
    import numpy as np

    from minidl._core.errors import CheckpointError
    from minidl._storage.tensors import read_tensors, write_tensors

    path = folder / "checkpoint"
    arrays = {
        "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "step": np.asarray(7),
        "none": np.zeros((0, 3), np.float16),
        "mask": np.array([True, False, True]),
        "rows": np.arange(30.0).reshape(5, 3, 2),
    }
    examples = []
    for names, texts in (
        (["0.weight", "step"], {}),
        (list(arrays), {"state": json.dumps({"epoch": 3, "name": "ä", "of": [1, 2]}), "note": "𝛌\n" * 9}),
        ([], {"only": "text"}),
    ):
        write_tensors(path, {name: arrays[name] for name in names}, texts)
        examples.append(path.read_bytes())
    file = os.open(path, os.O_RDWR)

    def read(_):
        arrays, texts = read_tensors(path, require_digest=False)
        return sorted((name, array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()), texts

    def prepare(content):
        os.ftruncate(file, 0)
        os.pwrite(file, content, 0)

    def widened(code, data):
        """Put zeros before each bfloat16, which is the upper half of a float32."""
        return data if code != "BF16" else b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))

    def expected(_, damaged):
        """With a true digest, or none, what another reader of JSON finds in the file may come back."""
        length = int.from_bytes(damaged[:8], "little")
        try:
            entries = json.loads(damaged[8 : 8 + length], object_pairs_hook=_without_repeats)
            json.dumps(entries, ensure_ascii=False).encode()  # half a character is none
            texts = entries.pop("__metadata__", None) or {}
            if texts.pop("minidl.sha256", None) is not None and sealed(*opened(damaged)) != damaged:
                return _NOTHING
            data = damaged[8 + length :]
            return sorted(
                (name, _DTYPES[e["dtype"]], tuple(e["shape"]), widened(e["dtype"], data[slice(*e["data_offsets"])]))
                for name, e in entries.items()
            ), texts
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return _NOTHING

    return Target(examples, read, CheckpointError, _damaged_checkpoint, expected, prepare=prepare)


def _without_repeats(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _batches(_):
    from minidl._core.errors import DataError
    from minidl.data.datasets.cifar10_formats import read_pickled_batch

    def read(content):
        return read_pickled_batch(content, "data_batch_1", "the file").tobytes()

    reordered = files.dictionary(dict(reversed(files.official_items("data_batch_1", memo=254).items())))
    examples = [files.official("data_batch_1"), reordered]
    return Target(examples, read, DataError, _damaged_pickle, lambda *_: files.CONTENTS["data_batch_1"])


def _archives(examples, structured):
    from minidl._core.errors import DataError
    from minidl.data.datasets.cifar10_formats import batches_in

    names = ("data_batch_1", "test_batch")

    def read(content):
        return {name: batch.tobytes() for name, batch in batches_in(BytesIO(content), names, "the archive")}

    whole = {name: files.CONTENTS[name] for name in names}
    return Target(examples, read, DataError, structured, lambda *_: whole, spare=60_000)


def _tgz(_):
    names = ("test_batch", "data_batch_1", "data_batch_2")
    tgz = files.tgz({f"cifar-10-batches-py/{name}": files.official(name) for name in names})
    return _archives([tgz], _damaged_tgz)


def _npm(_):
    kept = ("data_batch_1.png", "test_batch.png", ".json", ".js")
    members = {name: data for name, data in files.npm_members().items() if name.endswith(kept)}
    return _archives([files.tgz(members)], partial(_damaged_npm, members))


def _wait():
    end = time.process_time() + SECONDS_PER_CASE
    while time.process_time() < end:
        pass


# For each planted fault what the reader does, and what has to be said of it.
PLANTED: dict[str, tuple[Callable[[], object], str]] = {
    "another error": (lambda: {}["bare"], "KeyError instead of ValueError"),
    "wrong object": (lambda: b"w", "damage was not noticed"),
    "exec": (lambda: exec((lambda: None).__code__), "a reader may not: exec"),
    "import": (lambda: __import__("antigravity"), "a reader may not: import"),
    "write": (lambda: open(os.devnull, "w").close(), "a reader may not: open"),
    "start": (lambda: os.system("true"), "a reader may not: os.system"),
    "connect": (lambda: socket.socket(), "a reader may not: socket"),
    "memory": (lambda: len(bytes(2_000_000)), "2.00 times the bound"),
    "slow": (_wait, "it took 1.0 s"),
    "hang": (lambda: time.sleep(600), "the process ended with -14 and no report: Current thread"),
    "crash": (faulthandler._sigsegv, "Segmentation fault"),
}


def _planted(fault, _):
    """Return a reader with a fault, by which the watch itself is tested."""

    def read(content):
        if content.startswith(b"whole"):
            return b"whole"
        if (found := PLANTED[fault][0]()) == b"w":
            return found
        raise ValueError("refused")

    return Target([b"whole" * 10], read, ValueError, damaged_bytes, lambda *_: b"whole")


KINDS: dict[str, Callable[[Path], Target]] = {
    "checkpoints": _checkpoints,
    "batches": _batches,
    "tgz": _tgz,
    "npm": _npm,
    **{f"planted {fault}": partial(_planted, fault) for fault in PLANTED},
}

# The watch.


class Watch:
    """Sees what Python does while a case is read, and stops what a reader has no business with."""

    _FORBIDDEN = re.compile(
        r"exec|compile|import|ctypes\..*|socket\..*|subprocess\..*|pty\..*|shutil\..*|tempfile\..*|urllib\..*|marshal\..*"
        r"|pickle\..*|os\.(system|exec|fork|forkpty|posix_spawn|spawn|startfile|kill|remove|rename|rmdir|mkdir|link"
        r"|symlink|truncate|chmod|chown|utime|putenv|unsetenv|chdir|setxattr)"
    )

    def __init__(self):
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if self.on and (self._FORBIDDEN.fullmatch(event) or (event == "open" and _writes(*arguments[1:3]))):
            self.seen.append(f"{event} {arguments!r:.100}")
            raise RuntimeError(f"a reader may not: {event}")


def _writes(mode, flags):
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    return bool(set(str(mode or "")) & set("wax+")) or (isinstance(flags, int) and bool(flags & changing))


def run(target, kind, seed, first, count, patience):
    """Read `count` cases in this process, which ends where a hundred take more than `patience` seconds."""
    report, watch = Report(), Watch()
    _bound_memory()
    # Not dump_traceback_later: the thread that it starts frees memory while tracemalloc may be starting, and crashes.
    faulthandler.register(signal.SIGALRM, chain=True)
    for content in target.examples:  # what is imported late is imported now
        target.prepare(content)
        assert target.read(content) == target.expected(content, content)
        target.prepare(content[: len(content) // 2])
        with contextlib.suppress(Exception):
            target.read(content[: len(content) // 2])
    for number in range(first, first + count):
        if (number - first) % 100 == 0:
            signal.alarm(patience)
        rng = random.Random(seed * 1_000_000_007 + number)
        whole = rng.choice(target.examples)
        damage = "structured" if rng.random() < 0.5 else "bytes"
        content = target.structured(rng, whole) if damage == "structured" else damaged_bytes(rng, whole)
        target.prepare(content)
        _case(target, report, watch, content, target.expected(whole, content), number % _MEASURED == 0)
        report.outcomes[damage] += 1
        if report.failures:
            report.failures[-1] += f"; {kind}, seed {seed}, case {number}, {damage}: {content[:2000]!r}"
            break
    signal.alarm(0)
    return report


def _case(target, report, watch, content, expected, measured):
    if measured:
        tracemalloc.start()
    faults, started, watch.on = [], time.thread_time(), True
    try:
        found = target.read(content)
        outcome = "equal"
        if expected is _NOTHING or found != expected:
            faults.append(f"damage was not noticed: {found!r:.200}")
    except target.error as error:
        outcome = "refused"
        if not str(error):
            faults.append("an error without words")
    except BaseException as error:
        outcome = "other"
        faults.append(f"{type(error).__name__} instead of {target.error.__name__}: {error!s:.200}")
    watch.on, seconds = False, time.thread_time() - started
    if measured:
        fraction = tracemalloc.get_traced_memory()[1] / (4 * (len(content) + target.spare) + 1_000_000)
        tracemalloc.stop()
        if fraction > 1:
            faults.append(f"memory: {fraction:.2f} times the bound")
    if seconds >= SECONDS_PER_CASE:
        faults.append(f"it took {seconds:.1f} s")
    report.cases += 1
    report.outcomes[outcome] += 1
    if faults := [*(f"a reader may not: {event}" for event in watch.seen), *faults]:
        report.failures.append(", ".join(faults))


def _bound_memory():
    """Let this process have half a gigabyte more than it has, where the system can say how much that is."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + (1 << 29)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def start(kind, seed, first, count, patience=30):
    """Start a process that reads `count` cases, and is ended where a hundred take more than `patience` seconds."""
    numbers = map(str, (seed, first, count, patience))
    command = [sys.executable, "-W", "error", "-X", "faulthandler", __file__, kind, *numbers]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MPLCONFIGDIR": tempfile.gettempdir()}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process, seconds):
    """Wait for such a process and return its report; one that died is a failure like another."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
    try:
        return Report(**json.loads(output) | {"outcomes": Counter(json.loads(output)["outcomes"])})
    except ValueError:
        return Report(failures=[f"the process ended with {process.returncode} and no report: {errors[-2000:]}"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, files.tiny_cifar10():
        print(json.dumps(vars(run(KINDS[sys.argv[1]](Path(place)), sys.argv[1], *map(int, sys.argv[2:])))))
