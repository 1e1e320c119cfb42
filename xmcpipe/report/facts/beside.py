"""The baselines beside a run: finished ones on the same documents, with metrics that can be compared."""

from collections.abc import Sequence
from dataclasses import replace

from xmcpipe.artifacts.containing import store_of
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.report.facts.runs import BASELINE, Run, read_run


def with_baselines(runs: Sequence[Run], store: Store) -> list[Run]:
    """The named runs, then the baselines of the first one's documents that are not among them, each named.

    Of each system, the newest baseline is shown. The store of the first run is searched.
    """
    shown = {run.artifacts["metrics"].manifest.fingerprint for run in runs}
    names, beside = {run.name for run in runs}, []
    place = store_of(runs[0].artifacts["metrics"]) or store
    for system, metrics in _newest(runs[0].artifacts["metrics"], place).items():
        if metrics.manifest.fingerprint not in shown:
            name = system if system not in names else f"{system} {metrics.manifest.fingerprint[:8]}"
            beside.append(replace(read_run(metrics, place), name=name))
    return [*runs, *beside]


def _newest(metrics: Artifact, store: Store) -> dict[str, Artifact]:
    """System -> the newest metrics of that baseline with the shards and the settings of `metrics`."""
    wanted = metrics.manifest
    found: dict[str, Artifact] = {}
    for each in sorted(store.all("metrics"), key=lambda each: str(each.manifest.made_by.get("started", ""))):
        same = each.manifest.inputs.get("shards") == wanted.inputs.get("shards")
        if not same or each.manifest.config != wanted.config:
            continue
        predictions = store.find("predictions", each.manifest.inputs.get("predictions", ""))
        if predictions is not None and predictions.manifest.stage == BASELINE:
            found[str(predictions.manifest.config["system"])] = each
    return dict(sorted(found.items()))
