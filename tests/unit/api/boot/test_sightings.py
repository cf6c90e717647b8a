from rackwright.api.boot.sightings import Sightings


def test_a_mac_is_news_once_in_a_while() -> None:
    now = [0.0]
    sightings = Sightings(lambda: now[0], again_after_s=600)
    assert sightings.is_news("a")
    assert not sightings.is_news("a")
    now[0] = 601
    assert sightings.is_news("a")


def test_a_flood_is_bounded_in_rate_and_memory() -> None:
    now = [0.0]
    sightings = Sightings(lambda: now[0], per_minute=10, remembered=5)
    assert sum(sightings.is_news(str(n)) for n in range(1000)) == 10
    assert len(sightings._seen) == 5
    now[0] = 60
    assert sightings.is_news("later")
