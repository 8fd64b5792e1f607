"""A server on the loopback interface that does to each connection what a script says, however wrong that is."""

import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

CERTIFICATES = Path(__file__).parent / "certificates"
Step = bytes | float | str | Callable[[], object]
Script = list[Step]
"""What a server does with a connection: send bytes, wait seconds, call something, or "reset" it; then close."""


def answer(body, *headers, status="200 OK", length=-1):
    """Return a whole answer; a length of None sends no Content-Length."""
    fields = list(headers) if length is None else [f"Content-Length: {len(body) if length == -1 else length}", *headers]
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "Connection: close", "", ""]).encode() + body


def redirect(target, status="302 Found"):
    return answer(b"", f"Location: {target}", status=status)


def chunked(*pieces, end=b"0\r\n\r\n"):
    """Return an answer that sends `pieces` as chunks."""
    return answer(b"", "Transfer-Encoding: chunked", length=None) + b"".join(map(chunk, pieces)) + end


def chunk(piece):
    return b"%x\r\n" % len(piece) + piece + b"\r\n"


@contextmanager
def serving(*scripts, received=None, certificate=None):
    """Serve each connection by the next script (the last one again and again), at the same time; yield the address.

    What each connection starts with is appended to `received`. Given the file of a certificate and its key, it
    speaks TLS.
    """
    stop, numbers = threading.Event(), itertools.count()
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

    def play(connection):
        script = scripts[min(next(numbers), len(scripts) - 1)]
        if received is not None:
            received.append(connection.recv(65536, socket.MSG_PEEK))
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

    class Player(BaseRequestHandler):
        def handle(self):
            # OSError: the client went away, which is what many of these tests are about
            with suppress(OSError, threading.BrokenBarrierError):
                play(self.request)

    with ThreadingTCPServer(("127.0.0.1", 0), Player) as server:
        server.socket.listen(64)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/file"
        finally:
            stop.set()
            server.shutdown()
