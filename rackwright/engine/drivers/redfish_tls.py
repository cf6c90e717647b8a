"""HTTPS to exactly the certificate that was pinned; verification is never off.

A BMC's own certificate seldom carries its address and is often out of date. So a pinned one is
trusted for what it is: by OpenSSL as the only anchor, and by its fingerprint instead of its name.
"""

import socket
import ssl
from contextlib import suppress
from hashlib import sha256
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from rackwright.engine.drivers.quirks import Quirks
from rackwright.engine.errors import OperatorError

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME (x509_vfy.h), not named by the ssl module: a pinned
# certificate is the operator's word, and BMC clocks and lifetimes are seldom right.
_NO_CHECK_TIME = 0x200000
_MAX_BODY_BYTES = 8 << 20  # a resource has kilobytes
_PIECE_BYTES = 1 << 16
_TLS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


def tls_context(certificate_pem: str, quirks: Quirks) -> tuple[ssl.SSLContext, str | None]:
    """A verifying context, and the SHA-256 fingerprint that the peer must show (None: by name).

    With a pinned certificate exactly that certificate is trusted, whatever name it carries;
    without one the system's authorities and the name decide. Raises OperatorError.
    """
    fingerprint = None
    if certificate_pem:
        try:
            der = ssl.PEM_cert_to_DER_cert(certificate_pem.strip() + "\n")
            context = ssl.create_default_context(cadata=der)
        except (ValueError, ssl.SSLError) as error:
            raise OperatorError("the pinned certificate is not one PEM certificate") from error
        fingerprint = sha256(der).hexdigest()
        # as a number: the enumeration's complement would drop the flag that it does not know
        strict = int(ssl.VERIFY_X509_STRICT)
        flags = int(context.verify_flags) | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        context.verify_flags = ssl.VerifyFlags(flags & ~strict)
        context.check_hostname = False  # the fingerprint stands in for the name
    else:
        context = ssl.create_default_context()
    if quirks.tls_min_version:
        context.minimum_version = _TLS[quirks.tls_min_version]
    if quirks.tls_security_level >= 0:
        context.set_ciphers(f"DEFAULT@SECLEVEL={quirks.tls_security_level}")
    return context, fingerprint


class PinnedAdapter(HTTPAdapter):
    """HTTPS with the given context and fingerprint; remembers its sockets so they can be cut."""

    def __init__(self, context: ssl.SSLContext, fingerprint: str | None) -> None:
        self._context = context
        self._fingerprint = fingerprint
        self.sockets: list[socket.socket] = []
        self.is_cut = False  # a connection that is still being made shall not be used
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["ssl_context"] = self._context
        if self._fingerprint is not None:
            kwargs["assert_fingerprint"] = self._fingerprint
            kwargs["assert_hostname"] = False
        super().init_poolmanager(*args, **kwargs)
        adapter = self

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                if self.sock is not None:
                    adapter.sockets.append(self.sock)
                if adapter.is_cut:
                    adapter.cut()

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"https": Pool}

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests does it, but a body without an end is not read to its end, and no connection
        is used twice: sushy asks for each to be closed (``Connection: close``), and a service that
        does so without saying it again would lose what comes next, a power action too."""
        try:
            return self._send(request, *args, **kwargs)
        finally:
            self.poolmanager.clear()

    def _send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(request, *args, **(kwargs | {"stream": True}))
        pieces: list[bytes] = []
        size_bytes = 0
        for piece in response.iter_content(_PIECE_BYTES):
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > _MAX_BODY_BYTES:
                response.close()
                raise requests.exceptions.ContentDecodingError(
                    f"an answer of more than {_MAX_BODY_BYTES} bytes"
                )
        response._content = b"".join(pieces)
        return response

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """requests would add its own bundle of authorities here; the context is all we trust."""
        conn.cert_reqs = "CERT_REQUIRED"

    def cut(self) -> None:
        self.is_cut = True
        for sock in tuple(self.sockets):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
