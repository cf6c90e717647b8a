"""Machines from enrolment to active on hardware that does not exist: OpenStack Ironic and us."""

import sys
from typing import Final

from bench.contest import Contestant, Row, contest, rows
from bench.peers.venvs import bin_of, version_of
from bench.tables import versions

GROUP: Final = "Provisioning on fake hardware, enrolment to active"
OURS: Final = "rackwright: enrol, plan, reserve, durable run of swarm"
THEIRS: Final = "OpenStack Ironic: enrol, manage, provide, deploy"


def measured(*, quick: bool, rounds: int) -> list[Row]:
    few, many = (20, 200) if quick else (100, 1000)
    contestants = [
        Contestant(
            OURS,
            many,
            versions("sqlalchemy"),
            lambda: [sys.executable, "-m", "bench.ours_nodes", str(many)],
            note="production inventory and engine, SQLite, simulated executors",
        ),
        Contestant(
            THEIRS,
            few,
            version_of("ironic", "ironic"),
            lambda: [
                bin_of("ironic") / "python",
                *("-m", "bench.contestants.ironic_fake", str(few)),
            ],
            note="API and conductor in one process, SQLite, 8 clients, no cleaning, no delays",
        ),
    ]
    return rows(GROUP, contest(contestants, rounds=rounds), OURS)
