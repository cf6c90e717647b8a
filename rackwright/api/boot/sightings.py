"""Unknown machines, told once in a while: a flood of MACs must not become a flood of rows."""

from collections import OrderedDict
from collections.abc import Callable


class Sightings:
    """Which unknown MACs are worth telling of now. Bounded in memory and in rate."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        again_after_s: float = 600.0,
        per_minute: int = 60,
        remembered: int = 1024,
    ) -> None:
        self._clock = clock
        self._again_after_s = again_after_s
        self._per_minute = per_minute
        self._remembered = remembered
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._minute = -1
        self._told = 0

    def is_news(self, mac: str) -> bool:
        """True where this sighting should be told; it then counts as told."""
        now = self._clock()
        last = self._seen.get(mac)
        if last is not None and now - last < self._again_after_s:
            return False
        if not self._within_rate(now):
            return False
        self._seen[mac] = now
        self._seen.move_to_end(mac)
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True

    def _within_rate(self, now: float) -> bool:
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._told = minute, 0
        self._told += 1
        return self._told <= self._per_minute
