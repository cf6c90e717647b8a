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
VARIANTS = ("generic", "virtual")


@app.command("build")
def build(
    names: Annotated[
        list[str], typer.Argument(help="ramdisk, debian-12, busybox, all, or an artifact name.")
    ],
    variant: Annotated[
        str,
        typer.Option(help="generic (real hardware) or virtual (the lab). [default: generic]"),
    ] = "",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build anew, to take the mirror's newer packages.")
    ] = False,
    fmt: OutputOption = output.Format.TABLE,
) -> None:
    """Build from Debian packages. What has not changed is taken from the cache."""
    # Here, since every other command would pay for it too.
    from rackwright.engine.images import build as images

    wanted = [full for name in names for full in SHORT_NAMES.get(name, (name,))]
    config = settings()
    chosen = variant or config.image_variant
    if chosen not in VARIANTS:
        output.fail(f"unknown variant {chosen!r}", "generic or virtual")
        raise typer.Exit(Exit.REFUSED)
    rows = []
    for name in wanted:
        artifact = images.build(
            name, variant=chosen, store=config.artifacts, report=output.note, rebuild=rebuild
        )
        rows.append(
            {
                "name": artifact.name,
                "variant": chosen,
                "digest": artifact.digest,
                "size_bytes": sum(file.size_bytes for file in artifact.files.values()),
                "path": str(artifact.path),
            }
        )
    output.emit(fmt, rows, ("name", "variant", "digest", "size_bytes"))


@app.command("list")
def list_images(fmt: OutputOption = output.Format.TABLE) -> None:
    """List what is built, of each variant."""
    # Here, since every other command would pay for it too.
    from rackwright.engine.errors import OperatorError
    from rackwright.engine.images import artifact, build

    store = settings().artifacts
    rows = []
    for name in build.NAMES:
        for variant in VARIANTS:
            try:
                found = artifact.load(store, name, variant)
            except OperatorError:
                continue  # not built
            size_bytes = sum(file.size_bytes for file in found.files.values())
            rows.append(
                {
                    "name": name,
                    "variant": variant,
                    "digest": found.digest,
                    "size_bytes": size_bytes,
                    "path": str(found.path),
                }
            )
    output.emit(fmt, rows, ("name", "variant", "digest", "size_bytes"))
