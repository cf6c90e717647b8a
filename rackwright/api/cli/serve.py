"""``rackwright serve``: own the data directory until told to stop."""

import asyncio
import signal
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import settings


def serve(
    resume: Annotated[
        bool, typer.Option(help="Take up the runs that an earlier controller left.")
    ] = False,
) -> None:
    """Serve the API on the data directory's socket. SIGTERM and Ctrl-C stop it; runs can resume."""
    asyncio.run(_serve(resume=resume))


async def _serve(*, resume: bool) -> None:
    # Here, since every other command would pay for it too.
    from rackwright.api.collector import collect_rarely
    from rackwright.api.owner.owner import Owner

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A closed terminal must not end a controller in the middle of a run.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    config = settings()
    async with Owner(config) as owner:
        collect_rarely()
        output.note(f"rackwright owns {config.data_dir}; API on {config.socket_path}")
        if resume:
            await owner.resume_left_runs()
        await stop.wait()
