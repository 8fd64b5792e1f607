"""A server on the loopback interface that does to each connection what a script says, however wrong that is."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

Step = bytes | float | str | Callable[[], object]
Script = list[Step]
"""What a server does with a connection: send bytes, wait seconds, call something, or "reset" it; then close."""


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = -1) -> bytes:
    """Return a whole answer; a length of None sends no Content-Length."""
    fields = list(headers) if length is None else [f"Content-Length: {len(body) if length == -1 else length}", *headers]
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "Connection: close", "", ""]).encode() + body


def redirect(target: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {target}", status=status)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return an answer that sends `pieces` as chunks."""
    return answer(b"", "Transfer-Encoding: chunked", length=None) + b"".join(map(chunk, pieces)) + end


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n" % len(piece) + piece + b"\r\n"


@contextmanager
def serving(*scripts: Script, seen: list[bytes] | None = None, certificate: str | None = None) -> Iterator[str]:
    """Serve each connection by the next script (the last one again and again), at the same time; yield the address.

    What each connection starts with is appended to `seen`. With a certificate, the server speaks TLS.
    """
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def play(connection: socket.socket, script: Script) -> None:
        if seen is not None:
            seen.append(connection.recv(65536, socket.MSG_PEEK))
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            connection.settimeout(5)
            connection.recv(65536)
            for step in script:
                if stop.is_set():
                    return
                if step == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif isinstance(step, bytes):
                    connection.sendall(step)
                elif callable(step):
                    step()
                else:
                    stop.wait(float(step))
            if "reset" not in script:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1)
                while connection.recv(65536):
                    pass

    def play_and_close(connection: socket.socket, script: Script) -> None:
        # OSError: the client went away, which is what many of these tests are about
        with suppress(OSError, threading.BrokenBarrierError), connection:
            play(connection, script)

    def serve() -> None:
        for number in range(1000):
            connection, _ = listener.accept()
            if stop.is_set():
                connection.close()
                return
            script = scripts[min(number, len(scripts) - 1)]
            threads.append(threading.Thread(target=play_and_close, args=(connection, script)))
            threads[-1].start()

    tls = None if certificate is None else _server_context(certificate)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        host, port = listener.getsockname()
        try:
            yield f"{'http' if tls is None else 'https'}://{host}:{port}/file"
        finally:
            stop.set()
            with suppress(OSError):
                socket.create_connection((host, port), 1).close()  # wakes `accept`
            for running in (thread, *threads):
                running.join(5)
                assert not running.is_alive()


def _server_context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:  # it can only be loaded from a file
        path = Path(folder) / "certificate.pem"
        path.write_text(certificate + _KEY)
        context.load_cert_chain(path)
    return context


# Made for these tests, signed by their own key, for 127.0.0.1 and no other host; they protect nothing.

_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgt+Ifota6/RF5N5Nd
RwlQslBveDPXC8EB7jGPVNfIiPWhRANCAAR+awzoy7xrXIGknzF54f6TYA4NjcX7
53UcjHZwicOJMWVuWYXT8xNsC+Wq18toVDAztQ1dgUUv7KbW2oc9zJv4
-----END PRIVATE KEY-----
"""

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBbzCCARagAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAttaW5pZGwg
dGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UE
AwwLbWluaWRsIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR+awzoy7xr
XIGknzF54f6TYA4NjcX753UcjHZwicOJMWVuWYXT8xNsC+Wq18toVDAztQ1dgUUv
7KbW2oc9zJv4o1MwUTAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQIMAaHBH8AAAEw
DgYDVR0PAQH/BAQDAgKEMB0GA1UdDgQWBBS318qVY5Gw4m/PceUE2TYrZWgFZjAK
BggqhkjOPQQDAgNHADBEAiAPRQNdpLFk2e+xE6/frDg/GNnWIM1gzE0LFHkjyEBC
0wIgFFF2r8L0TTrcnErK2jZxDwY3j22wf4wF+i/Yc5nrG14=
-----END CERTIFICATE-----
"""
"""Valid from 2020 to 2120."""

EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBbjCCARSgAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAttaW5pZGwg
dGVzdDAeFw0yMDAxMDEwMDAwMDBaFw0yMDAxMDIwMDAwMDBaMBYxFDASBgNVBAMM
C21pbmlkbCB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfmsM6Mu8a1yB
pJ8xeeH+k2AODY3F++d1HIx2cInDiTFlblmF0/MTbAvlqtfLaFQwM7UNXYFFL+ym
1tqHPcyb+KNTMFEwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMA4G
A1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUt9fKlWORsOJvz3HlBNk2K2VoBWYwCgYI
KoZIzj0EAwIDSAAwRQIhAOeGHZ1qAJ6IxItmOeiiK+0Bk2RpDXZyk8P9dmmgrxkI
AiB3tpFhZXoh418FTplyYCuEkcFvvBL8fbPW1JVIsfetRg==
-----END CERTIFICATE-----
"""
"""Valid on 1 January 2020 alone."""
