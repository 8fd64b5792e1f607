"""Downloads against a server on the loopback interface that misbehaves as told."""

import gc
import gzip
import hashlib
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from io import BytesIO
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

import pytest
from scripted_server import Script, answer, redirect, serving

from minidl._core.errors import DataError, DownloadError
from minidl.data.datasets import download
from minidl.data.datasets.download import NpmPackage, PassingError, Patience, WebFile, try_in_turn

BODY = gzip.compress(bytes(range(256)) * 400, mtime=0) + bytes(50_000)
IMPATIENT = Patience(slow=1e6, stuck=1e5, window=0.1, timeout=0.3)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def web_file(url: str, name: str = "server", patience: Patience = IMPATIENT) -> WebFile:
    return WebFile(name, url, len(BODY), hashlib.sha256(BODY).hexdigest(), patience)


def fetch(*script: bytes | float | str, last: bool = True) -> bytes:
    with serving(list(script)) as url, web_file(url).open(last) as file:
        return file.read()


def refused(*script: bytes | float | str) -> str:
    """Return the error of a download that must fail, and quickly."""
    started = time.perf_counter()
    with pytest.raises(DownloadError) as error:
        fetch(*script)
    assert time.perf_counter() - started < 3
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "reply",
    [
        answer(BODY),
        answer(BODY, length=None),
        answer(b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=None),
        answer(BODY, "Content-Encoding: gzip"),  # about a file that is gzip anyway: it stays as it is
    ],
)
def test_a_whole_file_arrives_as_it_was_sent(reply: bytes) -> None:
    assert fetch(reply) == BODY


def test_a_short_body_is_refused_with_both_counts() -> None:
    expected = f"expected {len(BODY)} bytes, got {len(BODY) - 1}"
    assert expected in refused(answer(BODY[:-1], length=len(BODY)))
    assert expected in refused(answer(BODY[:-1], length=None))
    assert expected in refused(answer(BODY[:-1]))


def test_an_unfinished_chunk_is_refused() -> None:
    refused(answer(b"%x\r\n" % len(BODY) + BODY[:-9], "Transfer-Encoding: chunked", length=None))
    refused(answer(b"zz\r\n", "Transfer-Encoding: chunked", length=None))


def test_a_flipped_byte_is_refused_with_both_digests() -> None:
    flipped = BODY[:9] + b"!" + BODY[10:]
    message = refused(answer(flipped))
    assert hashlib.sha256(BODY).hexdigest() in message
    assert hashlib.sha256(flipped).hexdigest() in message


def test_an_endless_body_is_left_one_byte_after_the_expected_size() -> None:
    assert f"got more than {len(BODY)}" in refused(answer(BODY, length=None), *[bytes(1 << 16)] * 10_000)
    assert f"got more than {len(BODY)}" in refused(answer(BODY + b"x"))


@pytest.mark.parametrize("length", [10**15, -5, "many"])
def test_what_counts_is_what_arrives_and_not_the_length_announced(length: object) -> None:
    assert fetch(answer(BODY, f"Content-Length: {length}", length=None)) == BODY


def test_too_small_a_length_announced_makes_the_body_short() -> None:
    assert f"expected {len(BODY)} bytes, got 5" in refused(answer(BODY, length=5))
    assert "got 0: an empty file" in refused(answer(BODY, length=0))


@pytest.mark.parametrize("before", [(), (answer(BODY)[:20],), (answer(BODY[:1000], length=len(BODY)),)])
def test_a_server_that_stalls_is_given_up(before: tuple[bytes, ...]) -> None:
    assert "timed out" in refused(*before, 5.0)


def test_a_server_that_drips_is_given_up_by_its_rate() -> None:
    assert "kB/s, less than 100" in refused(answer(b"", length=len(BODY)), *[b"x", 0.02] * 200)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "410 Gone", "500 Oops", "503 Busy", "401 Who"])
def test_an_error_status_is_reported(status: str) -> None:
    assert f"HTTP status {status[:3]}" in refused(answer(b"<html>sorry", status=status))


def test_a_login_page_is_reported_as_a_page() -> None:
    assert "an HTML or XML page (a login page of the network?)" in refused(answer(b"<html>please log in"))


@pytest.mark.parametrize(
    "reply", [b"", b"\r\n", b"\0" * 100, b"HTTP/1.1 200", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000]
)
def test_a_garbled_answer_is_refused(reply: bytes) -> None:
    refused(reply)


def test_too_many_headers_are_refused() -> None:
    refused(answer(BODY, *(f"x-{k}: y" for k in range(10_000))))


def test_a_reset_connection_is_refused() -> None:
    refused(answer(BODY[:1000], length=len(BODY)), 0.05, "reset")


def test_a_refused_connection_is_reported_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/file"
    started = time.perf_counter()
    with pytest.raises(DownloadError, match="Connection refused"), web_file(url).open(last=True):
        pass
    assert time.perf_counter() - started < 1


def test_a_redirect_is_followed() -> None:
    with serving([answer(BODY)]) as target:
        assert fetch(redirect(target)) == BODY


def test_a_redirect_loop_ends() -> None:
    assert "HTTP status 302" in refused(redirect("/file"))


def test_a_long_chain_of_redirects_ends() -> None:
    scripts: list[Script] = [[redirect(f"/{k}")] for k in range(20)]
    with serving(*scripts) as url, pytest.raises(DownloadError, match="HTTP status 302"), web_file(url).open(last=True):
        pass


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://x"])
def test_a_redirect_to_anything_but_the_web_is_refused(target: str) -> None:
    refused(redirect(target))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib leaves the socket to the gc
def test_a_redirect_to_an_impossible_address_is_refused() -> None:
    assert "Invalid IPv6 URL" in refused(redirect("http://["))
    gc.collect()


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://example.org/file")
    for target, allowed in (("http://example.org/x", False), ("HTTPS://example.org/x", True)):
        arguments = (request, BytesIO(), 302, "Found", HTTPMessage(), target)
        if allowed:
            assert download._SafeRedirects().redirect_request(*arguments) is not None
        else:
            with pytest.raises(HTTPError, match=r"redirect to http://example\.org/x refused"):
                download._SafeRedirects().redirect_request(*arguments)


def test_the_endless_body_of_a_redirect_is_not_read() -> None:
    with serving([answer(BODY)]) as target:
        endless = answer(b"", f"Location: {target}", status="302 Found", length=None)
        started = time.perf_counter()
        assert fetch(endless, *[b"x", 0.05] * 100) == BODY
        assert time.perf_counter() - started < 3  # reading it all would take 5 s


def test_a_password_in_an_address_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(redirect("ftp://user:secret@127.0.0.1/x"))
    assert "***@127.0.0.1" in message
    assert "secret" not in message
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")
    with pytest.raises(DownloadError) as error, web_file("http://example.invalid/file").open(last=True):
        pass
    assert "secret" not in str(error.value)


def test_a_download_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fetch(answer(BODY))
    refused(answer(BODY[:-1]))
    assert list(tmp_path.iterdir()) == []


# The chain of sources.


class FakeSource:
    """Works, fails, or is slow until it is the last one."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.lasts: list[bool] = []

    @contextmanager
    def open(self, last: bool) -> Iterator[IO[bytes]]:
        self.lasts.append(last)
        if self.error and not (last and isinstance(self.error, PassingError)):
            raise self.error
        yield BytesIO(self.name.encode())


def chosen(*sources: FakeSource) -> str:
    used: list[str] = []
    try_in_turn("DATA", sources, lambda file, source: used.append(file.read().decode()), pause=0)
    return used[-1]


def test_the_first_source_that_works_is_used_and_no_other_asked() -> None:
    sources = [FakeSource("a", DownloadError("gone")), FakeSource("b"), FakeSource("c")]
    assert chosen(*sources) == "b"
    assert sources[2].lasts == []


def test_a_slow_source_is_given_up_while_another_is_left_and_comes_back_if_that_fails() -> None:
    slow = PassingError("50 kB/s")
    assert chosen(FakeSource("a", slow), FakeSource("b")) == "b"
    assert chosen(FakeSource("a", slow)) == "a"
    sources = [FakeSource("a", slow), FakeSource("b", DownloadError("gone")), FakeSource("c", slow)]
    assert chosen(*sources) == "a"
    assert sources[0].lasts == [False, True]


def test_a_slow_server_is_given_up_for_a_fast_one() -> None:
    drip: Script = [answer(b"", length=len(BODY)), *[b"x" * 4000, 0.02] * 200]  # 200 kB/s: slow, but not stuck
    used: list[str] = []
    with serving(drip) as slow, serving([answer(BODY)]) as fast:
        sources = [web_file(slow, "slow"), web_file(fast, "fast")]
        try_in_turn("DATA", sources, lambda file, source: used.append(source.name))
    assert used == ["fast"]


def test_a_slow_server_is_waited_for_if_it_is_the_only_one() -> None:
    parts = [BODY[k : k + 5000] for k in range(0, len(BODY), 5000)]
    drip: Script = [answer(b"", length=len(BODY)), *[step for part in parts for step in (part, 0.02)]]
    with pytest.raises(PassingError):
        fetch(*drip, last=False)
    assert fetch(*drip, last=True) == BODY


def test_an_archive_that_is_no_good_leads_to_the_next_source() -> None:
    def use(file: IO[bytes], source: download.Source) -> None:
        if source.name == "a":
            raise DataError("not the data")
        used.append(source.name)

    used: list[str] = []
    try_in_turn("DATA", [FakeSource("a"), FakeSource("b")], use)
    assert used == ["b"]


def test_when_all_fail_the_error_lists_every_source_and_the_way_by_a_local_copy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(DownloadError, match=r"(?s)a: no name.*b: no route.*data_dir.*MINIDL_DATA_DIR"):
        chosen(FakeSource("a", DownloadError("no name")), FakeSource("b", DownloadError("no route")))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "DATA: trying a", "DATA: a failed: no name", "DATA: trying b", "DATA: b failed: no route"
    ]  # fmt: skip


# The npm client.


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], NpmPackage]:
    """Return a function that puts a shell script called npm on the PATH."""
    if sys.platform == "win32":
        pytest.skip("the fake npm is a shell script")

    def install(script: str) -> NpmPackage:
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return NpmPackage("some-package@1.0.0", 1000, tmp_path / "cache")

    return install


def scratch_is_gone(tmp_path: Path) -> bool:
    return not list((tmp_path / "cache").iterdir())


def test_npm_packs_the_package_into_a_folder_that_is_gone_afterwards(
    npm: Callable[[str], NpmPackage], tmp_path: Path
) -> None:
    package = npm(
        'echo "$1 $2 $3" > some-package-1.0.0.tgz; mkdir -p "${7#--cache=}"; echo x > "${7#--cache=}/x"; pwd >&2'
    )
    with package.open(last=True) as archive:
        assert archive.read() == b"pack some-package@1.0.0 --ignore-scripts\n"
        assert [path.parent.parent for path in tmp_path.rglob("cache/x")] == [Path(archive.name).parent]
        assert Path(archive.name).is_relative_to(tmp_path / "cache")
    assert package.name == "npm package some-package@1.0.0"
    assert scratch_is_gone(tmp_path)


def test_npm_works_where_the_cache_cannot_be_written(npm: Callable[[str], NpmPackage], tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    with npm("echo x > x.tgz").open(last=True) as archive:
        assert archive.read() == b"x\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo npm error code E404 >&2; exit 1", "npm pack failed: npm error code E404"),
        ("echo 'GET http://user:secret@127.0.0.1/x' >&2; exit 1", r"GET http://\*\*\*@127.0.0.1/x"),
        ("exit 0", "npm pack failed: no archive"),
        ("exec sleep 30", "npm package some-package@1.0.0: 0 kB/s, less than 10"),
    ],
)
def test_an_npm_that_fails_is_reported_and_leaves_nothing(
    script: str, message: str, npm: Callable[[str], NpmPackage], tmp_path: Path
) -> None:
    package = npm(script)
    if "sleep" in script:
        package = NpmPackage(package.package, 1000, package.folder, Patience(window=0.3))
    with pytest.raises(DownloadError, match=message), package.open(last=True):
        pass
    assert scratch_is_gone(tmp_path)


def test_without_npm_the_source_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="there is no npm on the PATH"):
        NpmPackage("some-package", 1000, tmp_path).open(last=True).__enter__()


def test_npm_shows_how_much_has_come(npm: Callable[[str], NpmPackage], capsys: pytest.CaptureFixture[str]) -> None:
    with npm("head -c 1000 /dev/zero > x.tgz; sleep 0.5").open(last=True):
        assert "1.00k/2.00k" in capsys.readouterr().err.replace("\r", "\n")


def test_a_source_that_only_drips_is_not_asked_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    drip = [answer(b"", length=len(BODY)), *[b"x", 0.05] * 100]
    patience = Patience(slow=1e9, stuck=1e9, window=0.1, timeout=1)
    with serving(drip) as one, serving(drip) as two:
        sources = [web_file(one, "one", patience), web_file(two, "two", patience)]
        with pytest.raises(DownloadError, match="no source delivered it"):
            try_in_turn("it", sources, lambda archive, source: None, pause=0)
    assert [line for line in capsys.readouterr().err.splitlines() if "trying" in line] == [
        f"it: trying {name}" for name in ("one", "two", "one", "two")
    ]


def test_a_source_that_is_fast_at_first_and_slow_later_is_given_up() -> None:
    patience = Patience(slow=50_000, stuck=50_000, window=0.1, timeout=1)
    body = bytes(60_000)
    with serving([answer(b"", length=200_000), body, *[b"x", 0.05] * 100]) as url:
        file = WebFile("server", url, 200_000, "", patience)
        with pytest.raises(DownloadError, match="less than 50"), file.open(last=True):
            pass
