"""A small storm of SIGKILLs, as ``python -m bench.storm`` raises a large one: the machines and the
subscriber live in a process of their own, which no controller's death touches."""

import shutil
import tempfile
from pathlib import Path

from bench.storm import storm

KILLS = 16


def test_controllers_killed_at_random_repeat_nothing_and_lose_nothing() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rw-storm-"))  # a socket's path has room for 107 bytes
    try:
        verdict = storm(folder, machines=500, kills=KILLS, seed=5, mean_life_s=0.2)
    finally:
        shutil.rmtree(folder)
    assert verdict.wrong == []
    assert verdict.kills == KILLS
    assert verdict.status in ("succeeded", "degraded")
    # more where a kill fell between a commit and its acknowledgement, which is a matter of chance
    assert verdict.events_told >= verdict.acknowledged_facts > verdict.tasks
    assert verdict.attached > 0, "no kill came while an attempt was under way"
