"""What a run has learned and executors may ask for: outputs, leaders, intents."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rackwright.engine.plan.model import Plan
from rackwright.engine.run.ports import Intent


class Knowledge:
    """Grows only; rebuilt from the journal after a restart."""

    def __init__(self, plan: Plan) -> None:
        self._stages = tuple(stage.name for stage in plan.stages)
        self._machines = tuple(machine.id for machine in plan.machines)
        self._groups = (*plan.groups, "all")
        self._outputs: dict[str, dict[str, Mapping[str, object]]] = {}
        self._leaders: dict[str, str] = {}
        self._intents: defaultdict[str, list[Intent]] = defaultdict(list)
        self._counts: defaultdict[str, dict[int, int]] = defaultdict(dict)  # kind -> task

    def learn_outputs(self, stage: int, machine: int, outputs: Mapping[str, object]) -> None:
        by_machine = self._outputs.setdefault(self._stages[stage], {})
        by_machine[self._machines[machine]] = outputs

    def learn_leader(self, group: int, machine: int) -> None:
        self._leaders[self._groups[group]] = self._machines[machine] if machine >= 0 else ""

    def learn_intent(self, intent: Intent) -> int:
        """How often this kind was committed before for the same task."""
        counts = self._counts[intent.kind]
        earlier = counts.get(intent.task, 0)
        counts[intent.task] = earlier + 1
        self._intents[intent.kind].append(intent)
        return earlier

    def outputs(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """Stage name -> machine id -> output name -> value."""
        return self._outputs

    def leader(self, group: str) -> str:
        return self._leaders.get(group, "")

    def told(self) -> dict[str, Any]:
        """All of it, for a snapshot; ``recall`` takes it back."""
        return {
            "outputs": self._outputs,
            "leaders": self._leaders,
            "intents": [
                (i.kind, i.task, i.attempt, dict(i.detail))
                for intents in self._intents.values()
                for i in intents
            ],
        }

    def recall(self, told: Mapping[str, Any]) -> None:
        self._outputs.update(told["outputs"])
        self._leaders.update(told["leaders"])
        for kind, task, attempt, detail in told["intents"]:
            self.learn_intent(Intent(kind, task, attempt, detail))

    def intents(self, kind: str) -> Sequence[Intent]:
        return tuple(self._intents[kind])
