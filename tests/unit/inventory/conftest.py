"""An inventory in a fresh directory, a clock that tests move, and an enrolment to start from."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from rackwright.inventory import enrol
from rackwright.inventory.database import FILE_NAME, Database, open_database
from rackwright.inventory.secrets import SecretBox

T = TypeVar("T")
NOW = 1_800_000_000.0

RACK = """\
segments:
- {name: provisioning, site: lab, subnet: 10.77.0.0/24, gateway: 10.77.0.1, interface: rw0,
   dhcp: full, dhcp_range: [10.77.0.100, 10.77.0.199], boot_server: 10.77.0.1}
machines:
- name: n1
  site: lab
  rack: r1
  class: small
  labels: {role: manager}
  bmc: {protocol: ipmi, address: 10.77.1.11, username: admin, password: hunter2, cipher_suite: 3}
  nics: [{mac: "52:54:00:77:01:01"}, {mac: "52:54:00:77:01:02", pxe: true}]
  segment: provisioning
  address: 10.77.0.11/24
  uuid: 4c4c4544-0042-3510-8052-b4c04f4e3232
- name: n2
  site: lab
  rack: r1
  class: small
  labels: {role: worker}
  bmc: {protocol: redfish, address: "10.77.1.12:8443", username: admin, password: hunter2}
  nics: [{mac: "52:54:00:77:02:01"}]
  segment: provisioning
  address: 10.77.0.12/24
  serial: RW-N2
- name: borrowed
  labels: {role: worker}
  ssh:
    address: 10.0.0.5
    user: root
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcgXYyuFRzqBCCzW8LwE/ewkEMJjNxYxXQTFpTd0REA
"""


class Store:
    """A database and its secrets, driven without an event loop."""

    def __init__(self, directory: Path, template: Path) -> None:
        """``template`` is a migrated database: making one takes longer than most tests."""
        self.directory = directory
        directory.mkdir(mode=0o700)
        shutil.copy(template, directory / FILE_NAME)
        self.box = SecretBox(directory / "keys" / "secret.key")
        self.database: Database = open_database(directory, now=NOW)

    def write(self, function: Callable[[Connection], T]) -> T:
        return self.database.submit(function).result(timeout=30)

    def read(self, function: Callable[[Connection], T]) -> T:
        with self.database.read() as connection:
            return function(connection)

    def enrol(self, text: str = RACK, file: str = "rack.yaml") -> enrol.EnrolReport:
        parsed = enrol.parse(text, file)
        return self.write(lambda c: enrol.apply(c, self.box, parsed, actor="tester", now=NOW))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    open_database(directory, now=NOW).close()
    return directory / FILE_NAME


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Iterator[Store]:
    made = Store(tmp_path / "data", template)
    yield made
    made.database.close()


@pytest.fixture
def rack(store: Store) -> tuple[Store, dict[str, str]]:
    """The enrolled rack and its machine ids by name."""
    return store, {machine.name: machine.id for machine in store.enrol().machines}
