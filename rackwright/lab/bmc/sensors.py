"""What the chassis' sensors read, for both protocols. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sensor:
    """One analogue sensor. ``ipmi_type`` and ``ipmi_unit``: IPMI 2.0 tables 42-3 and 43-15."""

    number: int
    name: str
    ipmi_type: int
    ipmi_unit: int
    unit: str  # Redfish ReadingUnits (UCUM)
    when_off: int
    when_on: int
    upper_critical: int
    multiplier: int = 1  # reading = multiplier * raw byte

    def reading(self, is_on: bool) -> int:
        return self.when_on if is_on else self.when_off


SENSORS = (
    Sensor(1, "Inlet Temp", 0x01, 1, "Cel", 22, 23, 45),
    Sensor(2, "CPU Temp", 0x01, 1, "Cel", 24, 51, 95),
    Sensor(3, "Fan 1", 0x04, 18, "{rev}/min", 0, 4200, 15000, multiplier=100),
    Sensor(4, "PSU Power", 0x08, 6, "W", 8, 86, 400, multiplier=2),
)
