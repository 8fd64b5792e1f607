"""A server on the loopback interface that does to each connection what a script says, however wrong that is."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CERTIFICATES = Path(__file__).parent / "certificates"
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
def serving(*scripts: Script, seen: list[bytes] | None = None, certificate: Path | None = None) -> Iterator[str]:
    """Serve each connection by the next script (the last one again and again), at the same time; yield the address.

    What each connection starts with is appended to `seen`. Given the file of a certificate and its key, it
    speaks TLS.
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

    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
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
