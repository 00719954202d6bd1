"""Real git servers on this machine: git's own HTTP backend behind HTTPS and Basic auth, and sshd."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import getpass
import gzip
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the tests' own git commands run with.
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}


@dataclass
class Repository:
    """A repository that servers serve, written to through a work tree of its own."""

    bare: Path
    work: Path

    @classmethod
    def create(cls, bare: Path) -> Repository:
        work = bare.with_suffix(".work")
        repository = cls(bare, work)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True, env=GIT_ENVIRONMENT)
        subprocess.run(["git", "init", "-q", "-b", "main", work], check=True, env=GIT_ENVIRONMENT)
        repository.git("remote", "add", "origin", str(bare))
        return repository

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=self.work, env=GIT_ENVIRONMENT, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: dict[str, str | bytes], *, push: str = "main") -> str:
        """Write files, commit all there is, push it to a branch, and return the commit."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "Change")
        self.git("push", "-q", "--force", "origin", f"HEAD:refs/heads/{push}")
        return self.git("rev-parse", "HEAD")


@dataclass
class Authority:
    """A certificate authority, and a certificate of it for this machine."""

    certificate: Path
    server_certificate: Path
    server_key: Path

    @classmethod
    def create(cls, folder: Path) -> Authority:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        now = dt.datetime.now(dt.timezone.utc)

        def certificate(name, key, issuer, issuer_key, *extensions):
            builder = (
                x509.CertificateBuilder()
                .subject_name(_name(name))
                .issuer_name(_name(issuer))
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - dt.timedelta(days=1))
                .not_valid_after(now + dt.timedelta(days=1))
            )
            for extension, critical in extensions:
                builder = builder.add_extension(extension, critical)
            return builder.sign(issuer_key, hashes.SHA256())

        def _name(text):
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        usages = dict.fromkeys(
            (
                "content_commitment",
                "crl_sign",
                "data_encipherment",
                "decipher_only",
                "digital_signature",
                "encipher_only",
                "key_agreement",
                "key_encipherment",
            ),
            False,
        )
        # Python 3.13 wants all that RFC 5280 does.
        authority = certificate(
            "tests",
            authority_key,
            "tests",
            authority_key,
            (x509.BasicConstraints(True, 0), True),
            (x509.KeyUsage(key_cert_sign=True, **usages), True),
            (x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), False),
        )
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        server = certificate(
            "localhost",
            key,
            "tests",
            authority_key,
            (x509.SubjectAlternativeName(names), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False),
        )
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / "ca.pem", folder / "server.pem", folder / "server.key")
        made.certificate.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        made.server_certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
        made.server_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made


@dataclass
class Request:
    """One that a server got."""

    path: str
    login: str | None
    fetches: bool


@dataclass
class GitHttpServer:
    """``git http-backend`` for all repositories of a folder.

    :param login: ``user:password`` that Basic auth asks for; ``None`` lets everybody read.
    :param authority: serves HTTPS with its certificate; ``None`` serves plain HTTP.
    :param protocol: whether the newer protocol (version 2) is spoken.
    :param redirect: where all requests are sent; ``None`` answers them.
    :param stall: answer nothing until the server is stopped.
    :param repeat: refuse who logs in, with a text that repeats the login.
    :param observe: called at each request, while the client waits for the answer.
    """

    folder: Path
    authority: Authority | None = None
    login: str | None = None
    protocol: bool = True
    redirect: str | None = None
    stall: bool = False
    repeat: bool = False
    observe: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopped = threading.Event()
        owner = self

        class Handler(_Handler):
            server_of_tests = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.authority.server_certificate, self.authority.server_key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, repository: str, fragment: str = "") -> str:
        scheme = "git+http" if self.authority is None else "git+https"
        return f"{scheme}://{self.address}/{repository}{fragment}"

    def fetches(self) -> int:
        """How often a client has asked for objects, not only for refs."""
        return sum(request.fetches for request in self.requests)

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of_tests: GitHttpServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        server = self.server_of_tests
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        login = base64.b64decode(encoded).decode() if scheme == "Basic" else None
        wants = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        server.requests.append(Request(self.path, login, b"want " in wants))
        server.observe()
        if server.stall:
            server.stopped.wait()
            self.close_connection = True
        elif server.redirect is not None:
            self._send(302, [("Location", server.redirect + self.path)], b"")
        elif server.login is not None and login != server.login:
            self._send(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        elif server.repeat:
            self._send(403, [("Content-Type", "text/plain")], f"{login} may not read".encode())
        else:
            self._send(*self._backend(body))

    def _backend(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        path, _, query = self.path.partition("?")
        environment = {
            **GIT_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server_of_tests.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        if self.server_of_tests.protocol and "Git-Protocol" in self.headers:
            environment["GIT_PROTOCOL"] = self.headers["Git-Protocol"]
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return status, [(name, value) for name, value in headers if name != "Status"], content

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # A client that was ended no longer reads.
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing: what the server was asked is in ``requests``."""


def ssh_key(file: Path, *, passphrase: str = "") -> str:
    """Make a key pair, ``file`` and ``file.pub``, and return the private key's text."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "tests", "-f", file], check=True
    )
    return file.read_text()


class SshServer:
    """An sshd that lets one key in, as the user that runs the tests."""

    def __init__(self, folder: Path, *authorized: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        host_key = folder / "host_key"
        ssh_key(host_key)
        keys = folder / "authorized_keys"
        keys.write_text("".join(key.with_suffix(".pub").read_text() for key in authorized))
        self.port = _free_port()
        configuration = folder / "sshd_config"
        configuration.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {keys}\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
            "KbdInteractiveAuthentication no\n"
        )
        if os.getuid() == 0:
            # sshd wants it when root starts it; Debian's service, which would make it, does not run here.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", configuration], stderr=log, stdin=subprocess.DEVNULL
            )
        self.known_hosts = f"[127.0.0.1]:{self.port} {host_key.with_suffix('.pub').read_text()}"
        _await_port(self.port, self._process)

    def url(self, repository: Path, fragment: str = "") -> str:
        return f"git+ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}{fragment}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class GitDaemon:
    """Git's own server of the protocol ``git://``, for all repositories of a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        command = ["git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, f"--port={self.port}"],
            env=GIT_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        _await_port(self.port, self._process)

    def url(self, repository: str, fragment: str = "") -> str:
        return f"git://127.0.0.1:{self.port}/{repository}{fragment}"

    def stop(self) -> None:
        # `git daemon` runs as a child of `git`.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError(f"{process.args} does not listen")
