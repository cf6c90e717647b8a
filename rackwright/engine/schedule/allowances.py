"""Allowances: what several schedulers of one run may use together, granted from outside.

A scheduler of a shard begins with nothing of what is *shared*: limits, the width of a stage's wave,
and its budget of failures. It says what it wants; it uses what was granted; it gives back what is
recalled, what is free at once and the rest as attempts end. While the ledger outside grants no more
than there is, the sum over all shards never exceeds it, whatever is lost or late in between.

A budget is reserved by what is under way in the wave: what runs may fail. So the failures of all
shards together stay within the ledger's total; with ``halt_at_failures + max_parallel - 1`` in it,
which is the most that one scheduler can come to, no width is lost to the reserve. A budget without
room holds the wave, which halts only when the ledger says that there is no more (a grant of 0).
What a settled stage did not use goes back by itself.
"""

from collections.abc import Mapping

from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule.barriers import halt_if_due, resize_wave
from rackwright.engine.schedule.endings import fall
from rackwright.engine.schedule.events import Granted, Recalled, Wants
from rackwright.engine.schedule.work import Work


class Ledger:
    """One shared thing: how much there is, and who has how much of it. Grants are conserved."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._held: dict[int, int] = {}

    @property
    def left(self) -> int:
        return self.total - sum(self._held.values())

    @property
    def held(self) -> Mapping[int, int]:
        """Shard -> how much it was granted and has not given back."""
        return self._held

    def grant(self, shard: int, wanted: int) -> int:
        """As much of ``wanted`` as is left, possibly 0."""
        given = max(0, min(wanted, self.left))
        self._held[shard] = self._held.get(shard, 0) + given
        return given

    def give_back(self, shard: int, amount: int) -> None:
        """Raises ValueError for more than the shard has."""
        if not 0 <= amount <= self._held.get(shard, 0):
            raise ValueError(f"shard {shard} gives back {amount} of {self._held.get(shard, 0)}")
        self._held[shard] -= amount


def on_granted(work: Work, event: Granted) -> None:
    """Raises OperatorError for what is not shared."""
    resource, amount = event
    board = work.board
    _check(work, resource, amount)
    board.grant(resource, amount)
    work.wanted.discard(resource)
    if resource >= board.budget_base:
        halt_if_due(work, resource - board.budget_base)
        fall(work)
    elif resource >= board.limit_count:
        resize_wave(work, resource - board.limit_count)
    elif resource in work.queues:
        work.wake[resource] = None


def on_recalled(work: Work, event: Recalled) -> None:
    """Raises OperatorError for what is not shared. Never more than the shard has."""
    resource, amount = event
    _check(work, resource, amount)
    board = work.board
    board.owed[resource] = min(board.owed[resource] + amount, board.granted[resource])
    work.give_back(resource)


def settle_accounts(work: Work) -> None:
    """What parked tasks lack, said once until it is granted or refused; what nobody here will use
    any more, given back."""
    board = work.board
    for resource in work.topology.shared_resources:
        queue = work.queues.get(board.queue_of(resource))
        if board.is_idle(resource, work.open_total):
            work.give_back(resource, is_owed=False)
            continue
        is_short = bool(queue) and board.taken(resource) >= board.granted[resource]
        if queue and is_short and resource not in work.wanted and not board.is_denied(resource):
            work.wanted.add(resource)
            amount = 1 if resource >= board.budget_base else len(queue)
            work.out.append(Wants(resource, amount))


def _check(work: Work, resource: int, amount: int) -> None:
    if resource not in work.topology.shared_resources or amount < 0:
        raise OperatorError(f"{resource} is not shared, or {amount} is no amount")
