import asyncio
from collections.abc import Callable

import pytest

from rackwright.engine.drivers.factory import PowerDrivers, driver_names
from rackwright.engine.drivers.power.base import Credentials, PowerDriver
from rackwright.engine.errors import OperatorError

SECRET = "c4n4ry-p@ss"
CREDENTIALS = Credentials("10.0.0.5", "admin", SECRET)


async def _nobody(machine: str, request: str) -> str:
    return "done"


def _with_drivers(scenario: Callable[[PowerDrivers], None]) -> None:
    async def whole() -> None:
        drivers = PowerDrivers(ask=_nobody, threads=1)
        try:
            scenario(drivers)
        finally:
            await drivers.close()

    asyncio.run(whole())


def test_drivers_are_the_files_of_power() -> None:
    assert driver_names() == ("ipmi", "manual", "none", "redfish")


@pytest.mark.parametrize("name", driver_names())
def test_every_driver_opens_without_io_and_shows_no_password(name: str) -> None:
    def scenario(drivers: PowerDrivers) -> None:
        driver: PowerDriver = drivers.open(name, CREDENTIALS)
        assert SECRET not in f"{driver!r} {driver} {CREDENTIALS!r} {CREDENTIALS}"

    _with_drivers(scenario)


@pytest.mark.parametrize("name", ["", "base", "factory", "../x", "Redfish", "os", "redfish.x"])
def test_names_that_are_no_driver_are_refused(name: str) -> None:
    def scenario(drivers: PowerDrivers) -> None:
        with pytest.raises(OperatorError, match="unknown power driver"):
            drivers.open(name, CREDENTIALS)

    _with_drivers(scenario)


@pytest.mark.parametrize(
    ("name", "credentials"),
    [
        ("ipmi", Credentials("-h", "admin", SECRET)),
        ("ipmi", Credentials("10.0.0.5", "admin", "longer than twenty bytes")),
        ("ipmi", Credentials("10.0.0.5", "admin", "two\nlines")),
        ("ipmi", Credentials("10.0.0.5", "a user name too long", SECRET)),
        ("ipmi", Credentials("10.0.0.5", "admin", SECRET, cipher_suite=-1)),
        ("redfish", Credentials("https://10.0.0.5", "admin", SECRET)),
        ("redfish", Credentials("10.0.0.5", "", SECRET)),
        ("redfish", Credentials("10.0.0.5", "admin", SECRET, certificate_pem="nonsense")),
        ("redfish", Credentials("10.0.0.5", "admin", SECRET, quirks={"what": 1})),
    ],
)
def test_bad_credentials_are_refused_before_anything_is_sent(
    name: str, credentials: Credentials
) -> None:
    def scenario(drivers: PowerDrivers) -> None:
        with pytest.raises(OperatorError) as caught:
            drivers.open(name, credentials)
        assert credentials.password not in str(caught.value)

    _with_drivers(scenario)


def test_manual_driver_needs_a_person() -> None:
    async def whole() -> None:
        drivers = PowerDrivers(threads=1)
        with pytest.raises(OperatorError):
            drivers.open("manual", CREDENTIALS)
        await drivers.close()

    asyncio.run(whole())
