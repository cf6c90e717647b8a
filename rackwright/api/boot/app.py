"""The boot app: iPXE script per machine, artifact files, and the ramdisk's first contact.

It is an ASGI app apart from the admin API, served in plain HTTP on the provisioning network only
(``listener.py``). It decides nothing about machines: see ``ports.BootWindows``. Proxy headers are
never read; a refusal says no more than its status.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rackwright.api.boot.contact import MAX_BYTES, InvalidContactError, parse_contact
from rackwright.api.boot.ipxe import boot_script, checked_base_url, leave_script, normal_mac
from rackwright.api.boot.ports import (
    Acceptance,
    Audit,
    BootRefusedError,
    BootWindows,
    Certify,
    Contact,
    FileIndex,
    KeyConflictError,
    MintedBoot,
    NotArmed,
)
from rackwright.api.boot.sightings import Sightings

_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{32,128})")
_ONE_RANGE = re.compile(r"bytes=(\d{1,19}-\d{0,19}|-\d{1,19})")
_REMEMBERED_CERTIFICATES = 4096


class BulkFileResponse(FileResponse):
    """A file in chunks large enough that the event loop is not the bottleneck."""

    chunk_size = 1024 * 1024


class BootEndpoints:
    """The three endpoints over their seams. ``clock`` is Unix time in seconds."""

    def __init__(
        self,
        *,
        base_url: str,
        windows: BootWindows,
        files: FileIndex,
        clock: Callable[[], float],
        certify: Certify,
        audit: Audit,
    ) -> None:
        self._base_url = checked_base_url(base_url)
        self._windows = windows
        self._files = files
        self._clock = clock
        self._certify = certify
        self._audit = audit
        self._sightings = Sightings(clock)
        self._certificates: OrderedDict[str, str] = OrderedDict()

    async def script(self, request: Request) -> Response:
        mac = normal_mac(request.path_params["mac"])
        if mac is None:
            return PlainTextResponse("not a MAC address\n", status_code=404)
        answer = await self._windows.mint(mac)
        match answer:
            case MintedBoot():
                text = boot_script(
                    base_url=self._base_url,
                    digest=answer.ramdisk,
                    token=answer.token,
                    kernel_args=answer.kernel_args,
                )
            case NotArmed():
                text = leave_script(answer.leave, answer.bios_disk)
            case None:
                if self._sightings.is_news(mac):
                    self._audit("boot.mac_unknown", {"mac": mac, "peer": _peer(request)})
                text = leave_script()
        return PlainTextResponse(text, headers={"Cache-Control": "no-store"})

    async def file(self, request: Request) -> Response:
        path = self._files.lookup(request.path_params["digest"], request.path_params["name"])
        if path is None:
            return PlainTextResponse("not found\n", status_code=404)
        wanted = request.headers.get("range")
        if wanted is not None and not _ONE_RANGE.fullmatch(wanted):
            return PlainTextResponse(
                "one range of bytes\n",
                status_code=416,
                headers={"Content-Range": f"bytes */{path.stat().st_size}"},
            )
        return BulkFileResponse(path, media_type="application/octet-stream")

    async def contact(self, request: Request) -> Response:
        bearer = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if bearer is None:
            return _refusal(403)
        body = await _bounded_body(request)
        if body is None:
            return _refusal(413)
        try:
            contact = parse_contact(body)
        except InvalidContactError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return await self._accept(bearer.group(1), contact, _peer(request))

    async def _accept(self, token: str, contact: Contact, peer: str) -> Response:
        try:
            acceptance = await self._windows.accept_contact(token, contact, peer)
        except KeyConflictError as refusal:
            self._audit("boot.key_conflict", {"peer": peer, "why": str(refusal)})
            return _refusal(409)
        except BootRefusedError as refusal:
            why = f"{type(refusal).__name__}: {refusal}"
            self._audit("boot.contact_refused", {"peer": peer, "why": why})
            return _refusal(403)
        return JSONResponse(
            {
                "machine_id": acceptance.machine_id,
                "name": acceptance.name,
                "time": int(self._clock()),
                "authorized_key": acceptance.authorized_key,
                "host_certificate": await self._certificate(token, acceptance, contact.host_key),
                "principal": acceptance.principal,
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _certificate(self, token: str, acceptance: Acceptance, host_key: str) -> str:
        """The same certificate for the same token and key, as long as it is remembered."""
        seen = f"{token} {acceptance.principal} {host_key}".encode()
        key = hashlib.sha256(seen).hexdigest()
        known = self._certificates.get(key)
        if known is not None:
            return known
        certificate = await self._certify(acceptance, host_key)
        self._certificates[key] = certificate
        while len(self._certificates) > _REMEMBERED_CERTIFICATES:
            self._certificates.popitem(last=False)
        return certificate


def boot_app(
    *,
    base_url: str,
    windows: BootWindows,
    files: FileIndex,
    clock: Callable[[], float],
    certify: Certify,
    audit: Audit,
) -> Starlette:
    """The ASGI app of one segment. ``base_url`` is what machines on that segment use.

    Raises ipxe.UnsafeValueError when the URL cannot stand in a script.
    """
    endpoints = BootEndpoints(
        base_url=base_url,
        windows=windows,
        files=files,
        clock=clock,
        certify=certify,
        audit=audit,
    )
    return Starlette(
        routes=[
            Route("/boot/ipxe/{mac}", endpoints.script, methods=["GET"]),
            Route("/boot/file/{digest}/{name}", endpoints.file, methods=["GET"]),
            Route("/boot/contact", endpoints.contact, methods=["POST"]),
        ]
    )


async def _bounded_body(request: Request) -> bytes | None:
    """The body, None past MAX_BYTES: reading stops there."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _peer(request: Request) -> str:
    """The address of the TCP connection itself."""
    return request.client.host if request.client else ""


def _refusal(status_code: int) -> Response:
    return JSONResponse({"error": "refused"}, status_code=status_code)
