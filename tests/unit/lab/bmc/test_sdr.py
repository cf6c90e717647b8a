"""Sensor data records."""

from rackwright.lab.bmc import sdr
from rackwright.lab.bmc.sensors import SENSORS


def test_records_are_chained_to_the_end() -> None:
    record_id, names = 0, []
    while record_id != 0xFFFF:
        answer = sdr.read(SENSORS, record_id, 0, 0xFF)
        assert answer is not None
        record_id = int.from_bytes(answer[:2], "little")
        body = answer[2:]
        assert len(body) == 5 + body[4]
        names.append(body[48:].decode())
    assert names == [sensor.name for sensor in SENSORS]


def test_record_is_read_in_pieces() -> None:
    whole = sdr.record(SENSORS[0])
    pieces = [sdr.read(SENSORS, 1, offset, 16) or b"" for offset in range(0, len(whole), 16)]
    assert b"".join(piece[2:] for piece in pieces) == whole


def test_unknown_record_is_none() -> None:
    assert sdr.read(SENSORS, 99, 0, 0xFF) is None


def test_reading_follows_power() -> None:
    fan = SENSORS[2]
    assert sdr.reading(fan, False)[0] == 0
    assert sdr.reading(fan, True)[0] * fan.multiplier == 4200
