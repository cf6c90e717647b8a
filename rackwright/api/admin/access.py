"""How a route gets at the owner's services."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from rackwright.api.owner.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Owner = Annotated[Services, Depends(_services)]


def _existing_run(owner: Owner, run_id: str) -> str:
    owner.runs.require(run_id)
    return run_id


def _existing_run_or_all(owner: Owner, run: Annotated[str, Query()] = "") -> str:
    if run:
        owner.runs.require(run)
    return run


SEQ_MAX = 2**63 - 1  # SQLite's INTEGER
LastEventId = Annotated[int, Header(ge=0, le=SEQ_MAX)]
# A stream has sent its 200 before its first event: whether its run is there is asked before.
ExistingRun = Annotated[str, Depends(_existing_run)]
ExistingRunOrAll = Annotated[str, Depends(_existing_run_or_all)]
