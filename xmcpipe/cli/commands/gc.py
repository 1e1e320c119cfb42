"""`gc`: frees disk space: removes unneeded artifacts, leftovers of killed stages, and archives."""

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

OLD_SECONDS = 86_400.0  # a killed stage that wrote within a day may still be resumed


KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="RECIPE|DIR",
        help="Keep this recipe's artifacts, or this artifact and its inputs (repeatable).",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Remove every artifact.")]
ArchivesOption = Annotated[
    bool, typer.Option("--archives", help="Also remove downloaded archives from the cache.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Remove without asking.")]


def gc(
    keep: KeepOption = None,
    settings: SetOption = None,
    everything: AllOption = False,
    archives: ArchivesOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Remove artifacts that no --keep needs, and leftovers of killed stages.

    Without --keep or --all, only the leftovers are removed. Archives fetched by hand are never removed.
    """
    if keep and everything:
        raise XmcpipeError("expected one of --keep and --all, got both", "omit one of them")
    opened = Store(store)
    needed = _needed(keep or [], settings, store)
    artifacts = _unneeded(opened, needed, remove=everything or bool(keep))
    resumable = {f"{path.parent.name}-{path.name}" for path in needed}
    leftovers = [path for path in opened.leftovers(OLD_SECONDS) if path.name not in resumable]
    cached = _archives(remove=archives)
    rest = {path: ("left by a killed stage", _bytes_below(path)) for path in leftovers}
    rest |= {path: (f"archive of {path.parent.name}", path.stat().st_size) for path in cached}
    total = _list(artifacts, rest, as_json, dry_run)
    if not artifacts and not rest:
        return
    if dry_run or not _confirmed(yes, as_json, total):
        return
    _remove(opened, artifacts, leftovers, cached)
    typer.echo(f"removed {size(total)}", err=as_json)


def _remove(store: Store, artifacts: list[Artifact], leftovers: list[Path], archives: list[Path]) -> None:
    from xmcpipe.data.fetch.archives import remove  # it loads an HTTP client, which `--help` must not

    for artifact in artifacts:
        store.remove(artifact)
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    for path in archives:
        remove(path)


def _unneeded(store: Store, needed: set[Path], remove: bool) -> list[Artifact]:
    """The artifacts that are not in `needed`; none if they are not to be removed, and a line about that."""
    artifacts = [artifact for artifact in store.all() if artifact.path.resolve() not in needed]
    if remove or not artifacts:
        return artifacts
    hint = "--keep RECIPE removes those that the recipe doesn't need, --all removes every one"
    typer.echo(f"{len(artifacts)} artifacts are kept ({hint})", err=True)
    return []


def _needed(names: list[str], settings: list[str] | None, store: Path) -> set[Path]:
    """The paths of these recipes' artifacts, existing or not, and of these artifacts and their inputs."""
    places = set()
    for recipe in names:
        if (Path(recipe) / FILE_NAME).is_file():
            places |= _ancestry(Store(store), Artifact.at(Path(recipe)))
            continue
        for step in open_chain(read_recipe(recipe, settings), store).steps():
            if step.fingerprint is not None:
                places.add(Store(store).place(step.stage.kind, step.fingerprint).resolve())
    return places


def _ancestry(store: Store, artifact: Artifact) -> set[Path]:
    """The paths of an artifact and, recursively, of its inputs."""
    parents = (store.find(kind, name) for kind, name in artifact.manifest.inputs.items())
    return {artifact.path.resolve()}.union(*(_ancestry(store, parent) for parent in parents if parent))


def _archives(remove: bool) -> list[Path]:
    """The archives in the cache; none if they are not to be removed, and a line about each."""
    from xmcpipe.data.fetch.archives import cached_archives

    found = cached_archives()
    if remove:
        return found
    for path in found:
        bytes_ = size(path.stat().st_size)
        typer.echo(f"{path}  archive of {path.parent.name}  {bytes_}  kept (--archives removes it)", err=True)
    return []


def _list(
    artifacts: list[Artifact], rest: Mapping[Path, tuple[str, int]], as_json: bool, dry_run: bool
) -> int:
    """Print what is to be removed, and return its bytes; `rest` maps paths to a description and bytes."""
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
            "there is no terminal to confirm on; nothing was removed", "add --yes, or --dry-run to list"
        )
    return typer.confirm(f"Remove {size(total)}?")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
