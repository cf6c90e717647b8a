"""``rackwright serve``: own the data directory until told to stop."""

import asyncio
import signal
from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import Exit, settings

REPLACED_HINT = "it wrote and sent nothing since; use the other one"


def serve(
    resume: Annotated[
        bool, typer.Option(help="Take up the runs that an earlier controller left.")
    ] = False,
) -> None:
    """Serve the API on the data directory's socket. SIGTERM and Ctrl-C stop it; runs can resume."""
    if not asyncio.run(_serve(resume=resume)):
        output.fail("another controller took the database over; this one ends", REPLACED_HINT)
        raise typer.Exit(Exit.FAILED)


async def _serve(*, resume: bool) -> bool:
    """False when it ends since another process is the owner now."""
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
        told = asyncio.create_task(stop.wait())
        replaced = asyncio.create_task(owner.replaced())
        await asyncio.wait({told, replaced}, return_when=asyncio.FIRST_COMPLETED)
        for task in (told, replaced):
            task.cancel()
        return stop.is_set()
