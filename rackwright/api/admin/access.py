"""How a route gets at the owner's services."""

from typing import Annotated

from fastapi import Depends, Request

from rackwright.api.owner.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Owner = Annotated[Services, Depends(_services)]
