"""The boot app's contract, and the abuse cases that concern it (numbers: the threat model's)."""

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Any
from urllib.parse import unquote

import pytest

from rackwright.api.boot.ports import NotArmed
from tests.unit.api.boot.conftest import (
    BASE,
    HOST_KEY,
    MAC,
    OTHER_KEY,
    UUID,
    Rack,
    contact_body,
    write_artifact,
)


def test_armed_machine_gets_a_script_with_a_fresh_token_each_time(rack: Rack) -> None:
    async def steps() -> None:
        first, second = await rack.token(), await rack.token(MAC.upper().replace(":", "-"))
        assert first != second
        assert (await rack.post(first, contact_body())).status_code == 403
        assert (await rack.post(second, contact_body())).status_code == 200

    asyncio.run(steps())


def test_script_boots_the_ramdisk_from_the_configured_address(rack: Rack) -> None:
    async def steps() -> None:
        answer = await rack.client.get(f"/boot/ipxe/{MAC}", headers={"Host": "evil.example"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        kernel = next(line for line in answer.text.splitlines() if line.startswith("kernel"))
        assert kernel.startswith(f"kernel {BASE}/boot/file/{'a' * 64}/vmlinuz initrd=initrd.zst ")
        assert f"console=ttyS0,115200n8 rackwright.controller={BASE} rackwright.token=" in kernel
        assert "evil" not in answer.text

    asyncio.run(steps())


def test_case_1_unknown_mac_gets_an_exit_script_and_one_audit_entry(rack: Rack) -> None:
    async def steps() -> None:
        for _ in range(3):
            answer = await rack.client.get("/boot/ipxe/02:00:00:00:00:01")
            assert answer.status_code == 200
            assert "exit 1" in answer.text
            assert "token" not in answer.text
        assert rack.audited == [
            ("boot.mac_unknown", {"mac": "02:00:00:00:00:01", "peer": "10.77.0.101"})
        ]
        assert rack.windows.windows == {}

    asyncio.run(steps())


@pytest.mark.parametrize(
    ("leave", "has", "lacks"),
    [("exit", "exit 1", "sanboot"), ("sanboot", "sanboot --no-describe --drive 0x80", "exit")],
)
def test_case_2_known_and_unarmed_gets_no_token(
    rack: Rack, leave: str, has: str, lacks: str
) -> None:
    rack.windows.armed.clear()
    rack.windows.known[MAC] = NotArmed("m-1", "exit" if leave == "exit" else "sanboot")
    answer = asyncio.run(rack.client.get(f"/boot/ipxe/{MAC}"))
    assert has in answer.text
    assert lacks not in answer.text
    assert "token" not in answer.text
    assert rack.audited == []


def test_case_3_same_contact_twice_is_one_transition_and_one_certificate(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        first = await rack.post(token, contact_body())
        assert first.status_code == 200
        assert first.json() == {
            "machine_id": "m-1",
            "name": "n1",
            "time": 1_700_000_000,
            "authorized_key": "ssh-ed25519 AAAAours",
            "host_certificate": "cert-1 for m-1.ramdisk",
            "principal": "m-1.ramdisk",
        }
        assert (await rack.post(token, contact_body())).json() == first.json()
        assert rack.windows.transitions == 1
        assert rack.certified == [HOST_KEY]

    asyncio.run(steps())


def test_second_different_key_conflicts_and_quarantines(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        await rack.post(token, contact_body())
        answer = await rack.post(token, contact_body(host_key=OTHER_KEY))
        assert answer.status_code == 409
        assert rack.windows.quarantined == {"m-1"}
        assert rack.audited[-1][0] == "boot.key_conflict"
        assert OTHER_KEY not in rack.certified

    asyncio.run(steps())


def test_case_4_superseded_token_is_refused(rack: Rack) -> None:
    async def steps() -> None:
        old = await rack.token()
        await rack.token()
        assert (await rack.post(old, contact_body())).status_code == 403
        assert rack.audited[-1][0] == "boot.contact_refused"
        assert old not in str(rack.audited)

    asyncio.run(steps())


def test_case_5_expired_token_is_refused_and_changes_nothing(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        rack.now[0] += 601
        assert (await rack.post(token, contact_body())).status_code == 403
        assert rack.windows.transitions == 0
        assert rack.certified == []

    asyncio.run(steps())


def test_case_6_token_of_one_machine_on_another_is_refused(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        stranger = contact_body(uuid=UUID.replace("1", "2"))
        answer = await rack.post(token, stranger)
        assert (answer.status_code, answer.json()) == (403, {"error": "refused"})

    asyncio.run(steps())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + "é"])
def test_case_7_no_token_is_refused_whatever_the_address(rack: Rack, header: str | None) -> None:
    async def steps() -> None:
        await rack.token()
        headers = [] if header is None else [(b"Authorization", header.encode())]
        answer = await rack.client.post("/boot/contact", json=contact_body(), headers=headers)
        assert answer.status_code == 403

    asyncio.run(steps())


def test_case_8_forwarded_headers_are_ignored(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        forged = {"X-Forwarded-For": "10.77.0.11", "Forwarded": "for=10.77.0.11"}
        await rack.post(token, contact_body(), **forged)
        assert rack.windows.peers == ["10.77.0.101"]

    asyncio.run(steps())


async def raw_status(rack: Rack, path: str) -> int:
    """The status for a path as a server hands it over: percent-decoded, not normalised."""
    sent: list[MutableMapping[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("10.77.0.101", 1),
        "server": ("10.77.0.1", 8480),
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await rack.app(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "{digest}/../{digest}/vmlinuz",
        "{digest}/..%2fmanifest.json",
        "{digest}/vmlinuz%00",
        "{digest}/manifest.json",
        "{digest}/link",
        "{digest}/",
        "{digest}",
        "",
        "ramdisk/{digest}/vmlinuz",
        "{other}/vmlinuz",
    ],
)
def test_case_10_only_indexed_names_are_served(rack: Rack, path: str) -> None:
    digest = write_artifact(rack.artifacts, "ramdisk", {"vmlinuz": b"kernel", "link": b"x" * 10})
    link = rack.artifacts / "ramdisk" / digest / "link"
    link.unlink()
    (link.parent / "target").write_bytes(b"y" * 10)
    link.symlink_to("target")
    asked = path.format(digest=digest, other="0" * 64)

    assert asyncio.run(raw_status(rack, f"/boot/file/{asked}")) == 404
    assert asyncio.run(rack.client.get(f"/boot/file/{digest}/vmlinuz")).content == b"kernel"


def test_file_is_served_whole_by_head_and_by_one_range(rack: Rack) -> None:
    async def steps() -> None:
        digest = write_artifact(rack.artifacts, "ramdisk", {"initrd.zst": b"0123456789"})
        url = f"/boot/file/{digest}/initrd.zst"
        assert (await rack.client.get(url)).content == b"0123456789"
        head = await rack.client.head(url)
        assert (head.headers["content-length"], head.content) == ("10", b"")
        part = await rack.client.get(url, headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.content) == (206, b"234")
        assert part.headers["content-range"] == "bytes 2-4/10"
        tail = await rack.client.get(url, headers={"Range": "bytes=-3"})
        assert tail.content == b"789"
        assert (await rack.client.get(url, headers={"Range": "bytes=20-"})).status_code == 416

    asyncio.run(steps())


def test_case_10_ten_thousand_ranges_cost_nothing(rack: Rack) -> None:
    async def steps() -> None:
        digest = write_artifact(rack.artifacts, "ramdisk", {"initrd.zst": b"0123456789"})
        ranges = "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(10_000))
        began = time.process_time()
        answer = await rack.client.get(f"/boot/file/{digest}/initrd.zst", headers={"Range": ranges})
        assert answer.status_code == 416
        assert time.process_time() - began < 0.05

    asyncio.run(steps())


def test_case_20_oversized_and_deep_bodies_are_refused_cheaply(rack: Rack) -> None:
    async def steps() -> None:
        token = await rack.token()
        began = time.process_time()
        assert (await rack.post(token, b" " * 70_000)).status_code == 413
        assert (await rack.post(token, b"[" * 10_000 + b"]" * 10_000)).status_code == 422
        assert (await rack.post(token, b'"' + b'\\"' * 32_000)).status_code == 422
        assert time.process_time() - began < 0.5
        assert (await rack.post(token, contact_body())).status_code == 200

    asyncio.run(steps())


def test_case_20_a_body_without_a_length_is_cut_off(rack: Rack) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(2000):
            sent += 1
            yield b" " * 60_000

    async def steps() -> None:
        token = await rack.token()
        answer = await rack.client.post(
            "/boot/contact", content=endless(), headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 413
        assert sent < 10

    asyncio.run(steps())


def test_there_is_nothing_else(rack: Rack) -> None:
    async def steps() -> None:
        for path in ("/", "/boot", "/boot/", "/docs", "/openapi.json", "/boot/ipxe/nonsense"):
            assert (await rack.client.get(path)).status_code == 404
        assert (await rack.client.post(f"/boot/ipxe/{MAC}")).status_code == 405

    asyncio.run(steps())
