from rackwright.api.timestamps import iso_utc, iso_utc_or_none


def test_moments_are_iso_in_utc() -> None:
    assert iso_utc(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"
    assert iso_utc_or_none(None) is None
    assert iso_utc_or_none(0.0) == "1970-01-01T00:00:00.000Z"
