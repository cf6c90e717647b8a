"""Secrets minted just in time, held in memory, revoked when their stage settles.

One mint per stage: those who ask at the same time share it. The intent is committed before, so that
whoever resumes knows what a dead controller may have left valid. A secret reaches no log, journal,
argument or environment: it comes by a script's stdout and leaves by another's stdin.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from rackwright.engine.errors import EngineError, MachineError, UnreachableError
from rackwright.engine.executors import scripts
from rackwright.engine.executors.context import context
from rackwright.engine.executors.pool import Place
from rackwright.engine.executors.reach import Reach
from rackwright.engine.executors.scope import Scope, Subject
from rackwright.engine.executors.shell.base import Completed
from rackwright.engine.plan.model import PlannedStage, SecretSource

PATIENCE_S = 30.0
SCRIPT_TIMEOUT_S = 60.0
REVOKE_TRIES = 3
FRESH = 0.8
"""A secret older than this part of its time to live is minted again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Minted:
    value: bytes
    at: float


class Secrets:
    def __init__(self, scope: Scope, reach: Reach) -> None:
        self._scope = scope
        self._reach = reach
        self._minted: dict[tuple[str, str], Minted] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unrevoked: dict[str, set[str]] = {
            stage: set(names) for stage, names in scope.journaled.unrevoked.items()
        }

    async def for_stage(self, subject: Subject, attempt: int) -> Mapping[str, bytes]:
        """Every secret of the subject's stage, by name."""
        return {
            name: await self._secret(subject, attempt, name, source)
            for name, source in subject.stage.secrets.items()
        }

    async def _secret(
        self, subject: Subject, attempt: int, name: str, source: SecretSource
    ) -> bytes:
        key = (subject.stage.name, name)
        async with self._locks[key]:
            now = asyncio.get_running_loop().time()
            held = self._minted.get(key)
            if held is not None and now - held.at < FRESH * source.ttl_s:
                return held.value
            detail = {"stage": subject.stage.name, "secret": name}
            await self._scope.sink.intend("mint", subject.task, attempt, detail)
            self._unrevoked.setdefault(subject.stage.name, set()).add(name)
            done = await self._on_leader(subject.stage_index, source.mint, source)
            value = done.stdout.strip(b"\r\n")
            if done.status != 0 or not value:
                # stdout may hold a part of the secret, and stderr is not trusted not to
                raise MachineError(
                    f"secret {name} was not minted: {source.mint} exited with {done.status}"
                )
            self._minted[key] = Minted(value, now)
            return value

    async def revoke(self, stage_index: int) -> None:
        """Revoke what this run minted for a stage. What fails stays journaled as unrevoked."""
        stage = self._scope.plan.stages[stage_index]
        for name in sorted(self._unrevoked.get(stage.name, ())):
            self._minted.pop((stage.name, name), None)
            source = stage.secrets.get(name)
            if source is None:
                continue
            try:
                await self._revoke(stage_index, stage, name, source)
            except EngineError as error:
                log.warning(
                    "secret not revoked", stage=stage.name, secret=name, error=error.message
                )

    async def _revoke(
        self, stage_index: int, stage: PlannedStage, name: str, source: SecretSource
    ) -> None:
        if source.revoke is not None:
            for left in range(REVOKE_TRIES - 1, -1, -1):
                try:
                    done = await self._on_leader(stage_index, source.revoke, source)
                    if done.status == 0:
                        break
                    error: EngineError = MachineError(f"revoke exited with {done.status}")
                except UnreachableError as unreachable:
                    error = unreachable
                if not left:
                    raise error
        self._unrevoked[stage.name].discard(name)
        leader = self._leader(stage_index, source)
        detail = {"stage": stage.name, "secret": name}
        try:
            await self._scope.sink.intend("revoked", leader.task, 0, detail)
        except EngineError as error:  # the run has ended: a resume revokes once more
            log.info("revocation not journaled", stage=stage.name, error=error.message)

    async def _on_leader(self, stage_index: int, path: str, source: SecretSource) -> Completed:
        subject = self._leader(stage_index, source)
        place: Place = "os"
        host = await self._reach.host(subject.planned.id, place, patience_s=PATIENCE_S)
        values = context(self._scope, subject, 0, files={}, installing=False)
        text = await scripts.ready(
            self._scope,
            subject,
            path,
            values,
            directory="/run/rackwright",
            families=host.families,
        )
        return await host.shell.run(text, timeout_s=SCRIPT_TIMEOUT_S)

    def _leader(self, stage_index: int, source: SecretSource) -> Subject:
        group = source.on.removesuffix(".one")
        machine_id = self._scope.leader(group)
        for index, planned in enumerate(self._scope.plan.machines):
            if planned.id == machine_id:
                return self._scope.subject(self._scope.task(stage_index, index))
        raise UnreachableError(f"nobody of {group} is elected to mint or revoke")
