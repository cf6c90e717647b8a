"""The sensors as IPMI's sensor data records. Pure.

Source: IPMI 2.0 rev 1.1, sections 33.9 to 33.12 (repository), 35.9 and 35.14 (thresholds, reading),
43.1 (full sensor record).
"""

import struct
from collections.abc import Sequence

from rackwright.lab.bmc.sensors import Sensor

_VERSION = 0x51
_FULL_SENSOR = 0x01
_BMC = 0x20  # sensor owner: the BMC's slave address
_ENTITY_SYSTEM_BOARD = 7
_UPPER_CRITICAL = 0x10  # in a mask of thresholds
_SCANNING = 0xC0  # event messages and scanning enabled
_LAST = 0xFFFF


def record(sensor: Sensor) -> bytes:
    """The full sensor record of one sensor; its record id is the sensor's number."""
    name = sensor.name.encode("ascii")
    critical = sensor.upper_critical // sensor.multiplier
    body = bytes([_BMC, 0, sensor.number, _ENTITY_SYSTEM_BOARD, sensor.number])
    body += bytes(
        [0x7F, 0x47, sensor.ipmi_type, 0x01]
    )  # initialised; readable thresholds; threshold
    body += struct.pack("<HHH", 0, 0, _UPPER_CRITICAL)
    body += bytes([0, sensor.ipmi_unit, 0, 0])  # unsigned, base unit, no modifier, linear
    body += struct.pack("<BBBBBB", sensor.multiplier, 0, 0, 0, 0, 0)
    nominal = sensor.when_on // sensor.multiplier
    body += bytes([0x01, nominal, 0, 0, 0xFF, 0x00])  # nominal given; normal max and min; max; min
    body += bytes([0, critical, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    body += bytes([0xC0 | len(name)]) + name  # 8-bit ASCII
    return struct.pack("<HBBB", sensor.number, _VERSION, _FULL_SENSOR, len(body)) + body


def read(sensors: Sequence[Sensor], record_id: int, offset: int, count: int) -> bytes | None:
    """Get SDR: next record id, then ``count`` bytes of the record; None if there is no such one."""
    position = 0 if record_id == 0 else record_id - 1
    if position >= len(sensors):
        return None
    following = position + 2 if position + 1 < len(sensors) else _LAST
    return struct.pack("<H", following) + record(sensors[position])[offset : offset + count]


def reading(sensor: Sensor, is_on: bool) -> bytes:
    """Get Sensor Reading: raw value, flags, threshold state."""
    value = sensor.reading(is_on) // sensor.multiplier
    above = _UPPER_CRITICAL if sensor.reading(is_on) >= sensor.upper_critical else 0
    return bytes([value, _SCANNING, 0xC0 | above])


def thresholds(sensor: Sensor) -> bytes:
    """Get Sensor Thresholds: mask of the readable ones, then the six values."""
    critical = sensor.upper_critical // sensor.multiplier
    return bytes([_UPPER_CRITICAL, 0, 0, 0, 0, critical, 0])
