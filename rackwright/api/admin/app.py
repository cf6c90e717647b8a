"""The admin API: a thin face over the owner's services. HTTP status codes live here alone."""

import importlib.metadata
import os

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from rackwright.api.admin import audit, clusters, events, machines, plans, reports, runs
from rackwright.api.dnsmasq.errors import DnsmasqError
from rackwright.api.owner.services import Services
from rackwright.api.problems import invalid_request, problem_of
from rackwright.engine.errors import EngineError
from rackwright.inventory.errors import InventoryError


def admin_app(services: Services) -> FastAPI:
    """The app for one owner. Reached over its 0600 Unix socket, which is its authentication."""
    app = FastAPI(
        title="Rackwright",
        version=importlib.metadata.version("rackwright"),
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.services = services

    @app.get("/v1/system", tags=["system"])
    async def system() -> dict[str, object]:
        """Who owns the data directory."""
        return {
            "version": app.version,
            "data_dir": str(services.settings.data_dir),
            "epoch": services.epoch,
            "pid": os.getpid(),
        }

    for room in (machines, plans, runs, clusters, events, reports, audit):
        app.include_router(room.router, prefix="/v1")

    @app.exception_handler(EngineError)
    @app.exception_handler(InventoryError)
    @app.exception_handler(DnsmasqError)
    @app.exception_handler(Exception)
    async def refuse(_: Request, error: Exception) -> JSONResponse:
        status, detail = problem_of(error)
        return JSONResponse(status_code=status, content={"detail": detail})

    @app.exception_handler(RequestValidationError)
    async def refuse_request(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(status_code=422, content={"detail": invalid_request(error.errors())})

    return app
