"""``rackwright image``: build and list ramdisks, OS images and bundles."""

from typing import Annotated

import typer

from rackwright.api.cli import output
from rackwright.api.cli.session import Exit, OutputOption, settings

app = typer.Typer(no_args_is_help=True, help="Build ramdisks, OS images and offline bundles.")

# What an operator types, beside the artifact reference that content uses.
SHORT_NAMES = {
    "ramdisk": ("ramdisk",),
    "debian-12": ("image/debian-12", "bundle/docker-debian-12"),
    "busybox": ("workload/busybox",),
    "all": ("ramdisk", "image/debian-12", "bundle/docker-debian-12", "workload/busybox"),
}


@app.command("build")
def build(
    names: Annotated[
        list[str], typer.Argument(help="ramdisk, debian-12, busybox, all, or an artifact name.")
    ],
    variant: Annotated[
        str,
        typer.Option(help="generic (real hardware) or virtual (the lab). [default: generic]"),
    ] = "",
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Build from Debian packages. What has not changed is taken from the cache."""
    # Here, since every other command would pay for it too.
    from rackwright.engine.images import build as images

    wanted = [full for name in names for full in SHORT_NAMES.get(name, (name,))]
    config = settings()
    chosen = variant or config.image_variant
    if chosen not in ("generic", "virtual"):
        output.fail(f"unknown variant {chosen!r}", "generic or virtual")
        raise typer.Exit(Exit.REFUSED)
    config.artifacts.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in wanted:
        artifact = images.build(name, variant=chosen, store=config.artifacts, report=output.note)
        files = artifact.manifest["files"]
        rows.append(
            {
                "name": artifact.name,
                "variant": chosen,
                "digest": artifact.digest,
                "size": output.size(sum(f["size_bytes"] for f in files.values())),
                "path": str(artifact.path),
            }
        )
    output.emit(fmt, rows, ("name", "variant", "digest", "size"))
