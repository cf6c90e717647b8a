"""Serve the boot app on one address of the provisioning network."""

from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

DEFAULT_PORT = 8480


def boot_listener(app: Starlette, *, address: str, port: int = DEFAULT_PORT) -> uvicorn.Server:
    """A server to be run by ``await server.serve()``; signals stay with the owner process.

    A boot storm is a thousand connections at once: the backlog takes it, nothing is refused.
    """
    return _QuietServer(
        uvicorn.Config(
            app,
            host=address,
            port=port,
            backlog=4096,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            lifespan="off",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
        )
    )


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the owner process has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
