"""A loopback proxy that accepts both TLS and plain HTTP on one port. AWS accepts them on two.

It passes the scheme to the S3 server in X-Forwarded-Proto, so the server enforces policies with
aws:SecureTransport. With a `route` function, it acts as a CDN, and the function maps paths.
"""

import contextlib
import gzip
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Takes a path with its query, and the cookies; returns the path on the S3 server, or an error status.
Route = Callable[[str, str], str | int]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return the paths of a CA certificate, and of a certificate for 127.0.0.1 with its key."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem, now = serialization.Encoding.PEM, datetime.now(UTC)

    def made(name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(authority, hashes.SHA256()).public_bytes(pem)

    trusted, served = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(made("Tests", authority, x509.BasicConstraints(ca=True, path_length=None)))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    private = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    served.write_bytes(made("127.0.0.1", server, address) + private)
    return trusted, served


def self_signed(folder: Path, host: str = "127.0.0.1", *, days: int = 1) -> Path:
    """Return the path of a self-signed certificate, as from `openssl req -x509`, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    is_address = host.replace(".", "").isdigit()
    alternative = x509.IPAddress(ipaddress.ip_address(host)) if is_address else x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, path = serialization.Encoding.PEM, folder / "self-signed.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


@contextlib.contextmanager
def tls_front(
    upstream: str, served: Path, route: Route = lambda path, _cookies: path, *, compresses: bool = False
) -> Iterator[str]:
    """Run the proxy, and yield its host and port. With `compresses`, it compresses responses like a CDN."""
    behind = urlsplit(upstream).netloc
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which responds to "Expect: 100-continue"

        def do(self) -> None:
            self.close_connection = True
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            path = route(self.path, self.headers.get("Cookie", ""))
            if isinstance(path, int):
                self.send_response(path)
                self.send_header("Connection", "close")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            if path != self.path:  # its own requests are signed for the S3 server
                headers["Host"] = behind
            if isinstance(self.connection, ssl.SSLSocket):
                headers["X-Forwarded-Proto"] = "https"
            there = http.client.HTTPConnection(behind, timeout=30)
            try:
                there.request(self.command, path, body or None, headers)
                got = there.getresponse()
                content = got.read()
            finally:
                there.close()
            self.send_response_only(got.status)
            self.send_header("Connection", "close")  # otherwise, the client's next request gets a reset
            for name, value in got.getheaders():
                if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                    self.send_header(name, value)
            if compresses and "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1000:
                content = gzip.compress(content)
                self.send_header("Content-Encoding", "gzip")
            length = got.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def finish_request(self, request: Any, client_address: Any) -> None:
            # The first byte of TLS is 22, which starts no HTTP method.
            if request.recv(1, socket.MSG_PEEK) != b"\x16":
                super().finish_request(request, client_address)
                return
            with context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)

        def handle_error(self, *_: object) -> None:  # a client that doesn't trust the certificate
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
