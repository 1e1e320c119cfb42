"""`gc`: give back the room of what nobody needs any more: artifacts, leftovers of killed stages, archives."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import STORE, JsonOption, SetOption, StoreOption
from xmcpipe.cli.output import headline, print_json, size
from xmcpipe.cli.session import open_chain, read_recipe
from xmcpipe.errors import XmcpipeError

OLD_SECONDS = 86_400.0  # scratch that was touched within a day may yet be resumed


def gc(
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="RECIPE|DIR",
            help="Keep what this recipe reaches, or this artifact and what it was made of (repeatable).",
        ),
    ] = None,
    settings: SetOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Keep no recipe: remove every artifact.")] = False,
    archives: Annotated[
        bool, typer.Option("--archives", help="Remove downloaded archives from the cache too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Remove artifacts that no --keep reaches, and leftovers of killed stages.

    Without --keep or --all only the leftovers go. Archives that you fetched yourself are never touched.
    """
    if keep and everything:
        raise XmcpipeError("--keep and --all were given, one was wanted", "leave one of them out")
    opened = Store(store)
    kept = _reached(keep or [], settings, store)
    artifacts = _unreached(opened, kept, going=everything or bool(keep))
    resumable = {f"{path.parent.name}-{path.name}" for path in kept}
    leftovers = [path for path in opened.leftovers(OLD_SECONDS) if path.name not in resumable]
    going = _archives(archives)
    rest = {path: ("left by a killed stage", _bytes_below(path)) for path in leftovers}
    rest |= {path: (f"archive of {path.parent.name}", path.stat().st_size) for path in going}
    total = _list(artifacts, rest, as_json, dry_run)
    if not artifacts and not rest:
        return
    if dry_run or not _confirmed(yes, as_json, total):
        return
    _remove(opened, artifacts, leftovers, going)
    typer.echo(f"removed {size(total)}", err=as_json)


def _remove(store: Store, artifacts: list[Artifact], leftovers: list[Path], archives: list[Path]) -> None:
    from xmcpipe.data.fetch.archives import remove  # it speaks HTTP, which `--help` needn't load

    for artifact in artifacts:
        store.remove(artifact)
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    for path in archives:
        remove(path)


def _unreached(store: Store, kept: set[Path], going: bool) -> list[Artifact]:
    """The artifacts that aren't in `kept`, if they are to go; else none, and a line on standard error."""
    artifacts = [artifact for artifact in store.all() if artifact.path.resolve() not in kept]
    if going or not artifacts:
        return artifacts
    hint = "name the recipes that matter with --keep, and the rest goes too; --all for every one"
    typer.echo(f"{len(artifacts)} artifacts are kept ({hint})", err=True)
    return []


def _reached(kept: list[str], settings: list[str] | None, store: Path) -> set[Path]:
    """The places of every artifact in the chains of these recipes, there or not, and of these artifacts."""
    places = set()
    for recipe in kept:
        if (Path(recipe) / FILE_NAME).is_file():
            places |= _ancestry(Store(store), Artifact.at(Path(recipe)))
            continue
        for step in open_chain(read_recipe(recipe, settings), store).steps():
            if step.fingerprint is not None:
                places.add(Store(store).place(step.stage.kind, step.fingerprint).resolve())
    return places


def _ancestry(store: Store, artifact: Artifact) -> set[Path]:
    """The places of an artifact and of all that it was made of."""
    parents = (store.find(kind, name) for kind, name in artifact.manifest.inputs.items())
    return {artifact.path.resolve()}.union(*(_ancestry(store, parent) for parent in parents if parent))


def _archives(going: bool) -> list[Path]:
    """Those of the cache, if they are to go; else none, and a line on standard error for each."""
    from xmcpipe.data.fetch.archives import cached_archives

    found = cached_archives()
    if going:
        return found
    for path in found:
        room = size(path.stat().st_size)
        typer.echo(f"{path}  archive of {path.parent.name}  {room}  kept (--archives removes it)", err=True)
    return []


def _list(
    artifacts: list[Artifact], rest: Mapping[Path, tuple[str, int]], as_json: bool, dry_run: bool
) -> int:
    """Print what goes, `rest` mapping places to what is there and its bytes; returns the bytes of all."""
    total = sum(artifact.bytes for artifact in artifacts) + sum(count for _, count in rest.values())
    if as_json:
        rows = [
            {"path": str(each.path), "bytes": each.bytes, "stage": each.manifest.stage} for each in artifacts
        ]
        rows += [{"path": str(path), "bytes": count, "stage": None} for path, (_, count) in rest.items()]
        print_json({"dry_run": dry_run, "bytes": total, "removes": rows})
        return total
    for each in artifacts:
        typer.echo(
            f"{each.path}  {each.manifest.stage}  {size(each.bytes)}  {headline(each.manifest.figures)}"
        )
    for path, (what, count) in rest.items():
        typer.echo(f"{path}  {what}  {size(count)}")
    if not artifacts and not rest:
        typer.echo("nothing to remove")
    return total


def _confirmed(yes: bool, as_json: bool, total: int) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        raise XmcpipeError(
            "nobody is there to confirm, and nothing was removed", "add --yes, or --dry-run to list"
        )
    return typer.confirm(f"Remove {size(total)}?")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
