"""Downloads: faults of servers, one behaviour per row.

A step of a server puts the clock of the downloads forward: how fast this machine is changes nothing.
"""

import gc
import gzip
import hashlib
import socket
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import cifar_files as files
import pytest
from cifar_files import held
from hypothesis import given, settings
from hypothesis import strategies as st
from places import peak_below
from scripted_server import CERTIFICATES, Script, answer, chunk, chunked, redirect, serving

from minidl._core.errors import DownloadError
from minidl.data.datasets import cifar10, download, load_cifar10
from minidl.data.datasets.download import Patience, WebFile, try_in_turn

# The seconds of a clock that moves only when a server advances it.
SECONDS = [0.0]
PATIENCE = Patience(slow=1_000, stuck=1_000, window=1, clock=lambda: SECONDS[0])


def tick():
    SECONDS[0] += 1


ARCHIVE = files.official_tgz()
SIZE = len(ARCHIVE)
HALF = SIZE // 2
FLIPPED = ARCHIVE[:HALF] + bytes([ARCHIVE[HALF] ^ 1]) + ARCHIVE[HALF + 1 :]
GOOD = answer(ARCHIVE)
STALL = 5.0
# One byte per second.
DRIP: Script = [tick, b"x", 0.01] * 500
LINE = b"x" * 60_000


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of a server: `scripts`, one per connection; and the expected result."""

    name: str
    scripts: tuple[Script, ...]
    message: str | None  # in the error, as a regular expression; None where the archive arrives
    asked: int = 1  # how many connections are made
    tries: int = 1  # how often the source is tried


def does(name, *steps, then=None, asked=1, says):
    """Return a failing behaviour; `then` is that of later connections, if different."""
    return Behaviour(name, (list(steps),) if then is None else (list(steps), [then]), says, asked, asked)


def works(name, *scripts, tries=1):
    steps = tuple(script if isinstance(script, list) else [script] for script in scripts)
    return Behaviour(name, steps, None, len(steps), tries)


def refuses(status, *headers, asked=1):
    page = answer(b"<html>sorry", *headers, status=status)
    return does(status, page, asked=asked, says=rf"HTTP status {status[:3]} \(")


GOT = f"expected {SIZE} bytes, got"
HTTP = "incomplete or invalid HTTP answer: "
TRANSFER = answer(b"", "Transfer-Encoding: chunked", length=None)

BEHAVIOURS = [
    # The archive is received. Chunks and a missing length are among the random behaviours below.
    works("a plain answer", GOOD),
    works("100 Continue before the answer", b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + GOOD),
    works("a gzip file labelled as encoded", answer(ARCHIVE, "Content-Encoding: gzip")),
    works("a huge length announced", answer(ARCHIVE, length=10**15)),
    works("five redirects", *(redirect(f"/{k}") for k in range(5)), GOOD),
    works("an endless redirect", [redirect("/b").replace(b"Content-Length: 0\r\n", b""), STALL], GOOD),
    # The archive is received at the second try.
    works("429, then the file", answer(b"", "Retry-After: 3600", status="429 Too Many Requests"), GOOD, tries=2),
    works("a reset, then the file", [GOOD[:HALF], 0.05, "reset"], GOOD, tries=2),
    works("a close before the status, then the file", [], GOOD, tries=2),
    works("half of the file, then all of it", GOOD[:HALF], GOOD, tries=2),
    works("a stall, then the file", [GOOD[:HALF], STALL], GOOD, tries=2),
    works("a drip, then the file", [GOOD[:HALF], *DRIP], GOOD, tries=2),
    # Another file, or only a part.
    does("one byte too few", answer(ARCHIVE[:-1], length=SIZE), asked=2, says=f"{GOT} {SIZE - 1}"),
    does("too small a length announced", answer(ARCHIVE, length=5), asked=2, says=f"{GOT} 5"),
    does("204 No Content", answer(b"", status="204 No Content"), asked=2, says=f"{GOT} 0: an empty file"),
    does("one byte too many", answer(ARCHIVE + b"x"), says=f"{GOT} more than {SIZE}"),
    does("an endless body", answer(b"", length=None), *[bytes(1 << 16)] * 10_000, says=f"{GOT} more than {SIZE}"),
    does("one bit flipped", answer(FLIPPED), says="expected SHA-256 .{64}, got .{64}"),
    does("the rest alone, as the first part was there", GOOD[:HALF], asked=2, says=f"{GOT} {SIZE - HALF}",
         then=answer(ARCHIVE[HALF:], f"Content-Range: bytes {HALF}-{SIZE - 1}/{SIZE}", status="206 Partial Content")),
    does("a login page", answer(b"<html>please log in"), asked=2, says="perhaps a network login page"),
    does("gzip around the file", answer(gzip.compress(ARCHIVE), "Content-Encoding: gzip"), says=f"{GOT} more than"),
    # An unreadable answer.
    does("a close before the status", asked=2, says=HTTP + ".*closed connection without response"),
    does("another protocol", b"SSH-2.0-OpenSSH_9.0\r\n", asked=2, says=HTTP + ".*SSH-2.0"),
    does("an endless status line", *[LINE] * 100, asked=2, says="more than 65536 bytes when reading status line"),
    does("10,000 headers", answer(ARCHIVE, *["x: y"] * 10_000), asked=2, says=HTTP + ".*more than 100 headers"),
    # Too slow.
    does("a stall in the body", GOOD[:HALF], STALL, asked=2, says="timed out"),
    does("a body that drips", answer(b"", length=SIZE), *DRIP, asked=2, says="0 kB/s, less than 1"),
    does("chunks that drip", TRANSFER, *[tick, chunk(b"x"), 0.01] * 500, asked=2, says="0 kB/s, less than 1"),
    # Disconnected.
    does("a reset in the body", GOOD[:HALF], 0.05, "reset", asked=2, says="reset by peer"),
    does("a chunk that is cut", chunked(ARCHIVE)[:-100], asked=2, says=HTTP + "IncompleteRead"),
    does("an endless chunk size", TRANSFER, *[LINE] * 100, asked=2, says="more than 65536 bytes"),
    # Redirects that lead nowhere.
    Behaviour("a redirect to itself", ([redirect("/file")],), "HTTP status 302 .*infinite loop", 5),
    Behaviour("twenty redirects", tuple([redirect(f"/{k}")] for k in range(20)), "HTTP status 302 .*infinite loop", 11),
    does("a redirect to nowhere", answer(b"", status="302 Found"), says="HTTP status 302"),
    *(
        does(f"a redirect to {target}", redirect(target), says=rf"302 \(.*{target[:4]}.* (refused|not allowed)\)")
        for target in ("file:///etc/passwd", "ftp://user:secret@127.0.0.1/x", "data:,x", "gopher://127.0.0.1/x")
    ),
    # The server refuses.
    *map(refuses, ("401 Unauthorized", "403 Forbidden", "404 Not Found", "407 Proxy", "410 Gone", "416 Range")),
    refuses("304 Not Modified"),
    refuses("429 Too Many Requests", "Retry-After: 3600", asked=2),
    *(refuses(status, asked=2) for status in ("500 Oops", "502 Bad Gateway", "503 Busy", "504 Gateway Timeout")),
    does("an error with an endless page", answer(b"", status="404 Not Found", length=None), *[LINE] * 10_000,
         says="HTTP status 404"),
    does("a reason that would colour the terminal", answer(b"", status="404 \x1b[31mred"), says=r"\(\?\[31mred\)"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def damaged_cache(cache, monkeypatch):
    """Return a cache with five good batches; the sixth makes a download necessary."""
    monkeypatch.setattr(download, "try_in_turn", partial(try_in_turn, pause=0.01))
    return files.fill(cache, data_batch_3=b"damaged")


def web_file(url, content=ARCHIVE, name="server", patience=PATIENCE):
    return WebFile(name, url, len(content), hashlib.sha256(content).hexdigest(), patience)


def use_servers(patch, *urls, patience=PATIENCE):
    sources = [web_file(url, name=f"server {number}", patience=patience) for number, url in enumerate(urls, 1)]
    patch.setattr(cifar10, "_sources", lambda: sources)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_each_behaviour_of_a_server(behaviour, cache, monkeypatch, capsys):
    before = held(cache)
    received: list[bytes] = []
    stalls = any(STALL in script for script in behaviour.scripts)
    with serving(*behaviour.scripts, received=received) as url:
        use_servers(monkeypatch, url, patience=replace(PATIENCE, timeout=0.3 if stalls else 10))
        fails = pytest.raises(DownloadError, match=behaviour.message) if behaviour.message else nullcontext()
        with peak_below(8_000_000), fails as error:
            load_cifar10()
    assert len(received) == behaviour.asked
    # Parts of two answers are never combined.
    assert not any(b"range:" in request.lower() for request in received)
    assert held(cache) == (files.CACHED if behaviour.message is None else before)
    said = capsys.readouterr().err
    assert said.count("trying server") == behaviour.tries
    if error is not None:
        said += str(error.value)
        assert "MINIDL_DATA_DIR" in str(error.value)
    assert "secret" not in said
    assert "\x1b[31m" not in said


# urllib leaves the socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_redirect_to_an_impossible_address_is_refused():
    with serving([redirect("http://[")]) as url, pytest.raises(DownloadError, match="Invalid IPv6 URL"):
        web_file(url).open(last=True).__enter__()
    gc.collect()


@pytest.mark.parametrize("script", [[answer(FLIPPED)], [answer(b"x")], [], [GOOD[:HALF], *DRIP]])
def test_a_password_in_the_address_is_never_shown(script, monkeypatch, capsys):
    with serving(script) as url:
        # A proxy, which receives the address as a text.
        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("http_proxy", url)
        use_servers(monkeypatch, "http://user:secret@example.invalid/file")
        with pytest.raises(DownloadError, match=r"http://\*\*\*@example\.invalid/file") as error:
            load_cifar10()
    assert "secret" not in str(error.value) + capsys.readouterr().err


def test_without_a_network_no_name_is_asked_for_twice(monkeypatch):
    def no_name(*_, **__):
        asked.append(1)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asked: list[int] = []
    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    use_servers(monkeypatch, "https://one.invalid/x", "https://two.invalid/x")
    with pytest.raises(DownloadError, match=r"(?s)1: .*not known.*2: .*not known.*data_dir .* MINIDL_DATA_DIR"):
        load_cifar10()
    assert len(asked) == 2


# TLS.


VALID, EXPIRED = CERTIFICATES / "valid.pem", CERTIFICATES / "expired.pem"


def load_by_tls(patch, certificate, script, host="127.0.0.1"):
    """Load from a server with `certificate`; check that it receives a TLS handshake and no plain text."""
    received: list[bytes] = []
    with serving(script, received=received, certificate=certificate) as url:
        use_servers(patch, url.replace("127.0.0.1", host))
        try:
            load_cifar10()
        finally:
            assert [first[0] for first in received] == [22]


@pytest.mark.parametrize(
    ("certificate", "host", "trusted", "message"),
    [
        (VALID, "127.0.0.1", True, None),
        (VALID, "127.0.0.1", False, "certificate verify failed: self"),
        (EXPIRED, "127.0.0.1", True, "certificate has expired"),
        (VALID, "localhost", True, "certificate is not valid for 'localhost'"),
    ],
)
def test_only_a_trusted_and_valid_certificate_is_believed(certificate, host, trusted, message, cache, monkeypatch):
    before = held(cache)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(DownloadError, match=message) if message else nullcontext():
        load_by_tls(monkeypatch, certificate, [GOOD], host)
    assert held(cache) == (before if message else files.CACHED)


def test_a_redirect_from_https_to_http_is_refused(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(VALID))
    received: list[bytes] = []
    with (
        serving([GOOD], received=received) as plain,
        pytest.raises(DownloadError, match=r"HTTP status 302 \(redirect to http://127.* refused"),
    ):
        load_by_tls(monkeypatch, VALID, [redirect(plain)])
    assert received == []


def test_plain_text_where_tls_is_expected_is_refused(monkeypatch):
    with serving([GOOD]) as url:
        use_servers(monkeypatch, url.replace("http:", "https:"))
        with pytest.raises(DownloadError, match=r"(?i)ssl|tls"):
            load_cifar10()


# Random behaviours.

BODY = bytes(range(256)) * 8
WIRES = (
    answer(BODY),
    answer(BODY, length=None),
    chunked(BODY),
    chunked(*(BODY[k : k + 300] for k in range(0, 2048, 300))),
)
# A cut, a hole, other bytes or more bytes: the position, the number removed, and the replacement.
DAMAGE = st.tuples(st.integers(0, 2500), st.sampled_from([0, 1, 1, 20, 2500]), st.binary(max_size=20))


# 2,000 examples under `pytest -m nightly`.
@settings(max_examples=2 * settings.default.max_examples)
@given(st.sampled_from(WIRES), st.lists(DAMAGE, max_size=3), st.integers(0, 2500), st.booleans())
def test_a_damaged_answer_gives_the_correct_file_or_an_error(wire, damages, pause_at, reset):
    for place, length, text in damages:
        wire = wire[:place] + text + wire[place + length :]
    script: Script = [wire[:pause_at], 0.001, wire[pause_at:]]
    if reset:
        script += [0.001, "reset"]
    with serving(script) as url:
        try:
            with web_file(url, BODY, patience=replace(PATIENCE, timeout=1)).open(last=True) as archive:
                assert archive.read() == BODY
        except DownloadError:
            assert damages or reset, "an answer that nothing was done to must be taken"
