"""`gc`: frees disk space by removing unneeded artifacts, leftovers of killed stages, and archives."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.owner import name_of
from xmcpipe.artifacts.scratch import Attempt, discard
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import STORE, JsonOption, SetOption, StoreOption
from xmcpipe.cli.output import bytes_below, duration, headline, print_json, size
from xmcpipe.cli.session import open_chain, read_recipe
from xmcpipe.cli.shown import echo
from xmcpipe.cli.text_table import say
from xmcpipe.errors import XmcpipeError

OLD_SECONDS = 86_400.0  # leftovers younger than a day are not removed: the stage may still be resumed
IN_USE = "a process uses it"


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
    unneeded = _unneeded(opened, needed, remove=everything or bool(keep))
    in_use = [artifact for artifact in unneeded if opened.in_use(artifact)]
    artifacts = [artifact for artifact in unneeded if artifact not in in_use]
    # A building folder is named KIND-FINGERPRINT: a training that a kept recipe could resume stays.
    resumable = {f"{path.parent.name}-{path.name}" for path in needed}
    leftovers = [path for path in opened.leftovers(OLD_SECONDS) if name_of(path) not in resumable]
    cached = _archives(remove=archives)
    kept = [attempt for attempt in opened.attempts() if attempt.scratch not in leftovers]
    keeps = [_kept_facts(each, resumable) for each in kept] + [_used_facts(each) for each in in_use]
    if not as_json:
        _print_kept(keeps)
    rest = {path: ("left by a killed stage", bytes_below(path)) for path in leftovers}
    rest |= {path: (f"archive of {path.parent.name}", path.stat().st_size) for path in cached}
    total = _list(artifacts, rest, as_json, dry_run, keeps)
    if not artifacts and not rest:
        return
    if dry_run or not _confirmed(yes, as_json, total):
        return
    _remove(opened, artifacts, leftovers, cached)
    echo(f"removed {size(total)}", err=as_json)


def _remove(store: Store, artifacts: list[Artifact], leftovers: list[Path], archives: list[Path]) -> None:
    # Imported here because it loads an HTTP client, which `--help` must not.
    from xmcpipe.data.fetch.archives import remove

    for artifact in artifacts:
        if not store.remove(artifact):
            echo(f"{artifact.path}  kept: {IN_USE}", err=True)
    for path in leftovers:
        discard(path)
    for path in archives:
        remove(path)


def _unneeded(store: Store, needed: set[Path], remove: bool) -> list[Artifact]:
    """The artifacts to remove: those that are not in `needed`.

    Unless `remove`, prints how many there are and how to remove them, and returns none.
    """
    artifacts = [artifact for artifact in store.all() if artifact.path.resolve() not in needed]
    if remove or not artifacts:
        return artifacts
    hint = "--keep RECIPE removes those that the recipe doesn't need, --all removes every one"
    echo(f"{len(artifacts)} artifacts are kept ({hint})", err=True)
    return []


def _needed(names: list[str], settings: list[str] | None, store: Path) -> set[Path]:
    """The paths to keep: all artifacts of a recipe, existing or not, or an artifact and all its inputs.

    Each of `names` is a recipe or the folder of an artifact.
    """
    paths = set()
    for recipe in names:
        if (Path(recipe) / FILE_NAME).is_file():
            paths |= _ancestry(Store(store), Artifact.at(Path(recipe)))
            continue
        for step in open_chain(read_recipe(recipe, settings), store).steps():
            if step.fingerprint is not None:
                paths.add(Store(store).place(step.stage.kind, step.fingerprint).resolve())
    return paths


def _ancestry(store: Store, artifact: Artifact) -> set[Path]:
    """The paths of an artifact and, recursively, of its inputs."""
    parents = (store.find(kind, name) for kind, name in artifact.manifest.inputs.items())
    return {artifact.path.resolve()}.union(*(_ancestry(store, parent) for parent in parents if parent))


def _kept_facts(attempt: Attempt, resumable: Collection[str]) -> dict[str, Any]:
    """A scratch folder that is kept: why, and for how many seconds (null: as long as the reason holds)."""
    seconds_left = None
    if attempt.running:
        reason = IN_USE
    elif attempt.name in resumable:
        reason = "a recipe of --keep can resume it"
    else:
        reason, seconds_left = "its stage can be resumed", max(0.0, round(OLD_SECONDS - attempt.idle_seconds))
    return {
        "path": str(attempt.scratch),
        "stage": None,
        "bytes": bytes_below(attempt.scratch),
        "reason": reason,
        "seconds_left": seconds_left,
    }


def _used_facts(artifact: Artifact) -> dict[str, Any]:
    """An artifact that is kept because a run or another command reads it."""
    facts = {"path": str(artifact.path), "stage": artifact.manifest.stage, "bytes": artifact.bytes}
    return {**facts, "reason": IN_USE, "seconds_left": None}


def _print_kept(keeps: list[dict[str, Any]]) -> None:
    """Print a line for each scratch folder and artifact that is kept, and when it goes."""
    for facts in keeps:
        what, left = facts["stage"] or "scratch", facts["seconds_left"]
        until = "" if left is None else f"; gc removes it after {duration(left)} more"
        echo(f"{facts['path']}  {what}  {size(facts['bytes'])}  kept: {facts['reason']}{until}", err=True)


def _archives(remove: bool) -> list[Path]:
    """The archives in the cache. Unless `remove`, prints a line about each, and returns none."""
    from xmcpipe.data.fetch.archives import cached_archives

    archives = cached_archives()
    if remove:
        return archives
    for path in archives:
        bytes_ = size(path.stat().st_size)
        echo(f"{path}  archive of {path.parent.name}  {bytes_}  kept (--archives removes it)", err=True)
    return []


def _list(
    artifacts: list[Artifact],
    rest: Mapping[Path, tuple[str, int]],
    as_json: bool,
    dry_run: bool,
    kept: list[dict[str, Any]],
) -> int:
    """Print all that will be removed, and return its bytes; `rest` maps paths to a description and bytes.

    `kept` are facts about what stopped and running stages need, for the JSON.
    """
    total = sum(artifact.bytes for artifact in artifacts) + sum(count for _, count in rest.values())
    if as_json:
        rows = [
            {"path": str(each.path), "bytes": each.bytes, "stage": each.manifest.stage} for each in artifacts
        ]
        rows += [{"path": str(path), "bytes": count, "stage": None} for path, (_, count) in rest.items()]
        print_json({"dry_run": dry_run, "bytes": total, "removes": rows, "keeps": kept})
        return total
    for each in artifacts:
        say(f"{each.path}  {each.manifest.stage}  {size(each.bytes)}  {headline(each.manifest.figures)}")
    for path, (what, count) in rest.items():
        say(f"{path}  {what}  {size(count)}")
    if not artifacts and not rest:
        echo("nothing to remove")
    return total


def _confirmed(yes: bool, as_json: bool, total: int) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        raise XmcpipeError(
            "expected --yes, because there is no terminal to confirm on; nothing was removed",
            "add --yes, or --dry-run to list",
        )
    return typer.confirm(f"Remove {size(total)}?")
