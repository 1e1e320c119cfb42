"""All findings, in the order in which they are printed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.doctor import gpu, installed, room
from xmcpipe.doctor.encoder import encoder
from xmcpipe.doctor.finding import Finding
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.plan_cache import cached_plan
from xmcpipe.memory.recipe_plan import RecipePlan, encoder_name
from xmcpipe.memory.shape import DataShape

TOKENIZE_FIRST = "`xmcpipe run RECIPE --to tokenize` first, then disk and memory are compared"


def examine(store: Path, configs: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> list[Finding]:
    """The findings about this machine and, if `configs` of a recipe are given, about what it needs.

    `artifacts` are those of the kinds "shards" and "clusters" that exist already.
    """
    torch = installed.torch()
    findings = [installed.python(), torch, installed.faiss(required="cluster" in configs)]
    if torch.state != "ok":  # all others need it
        return findings
    train = configs.get("train")
    wanted = train is not None and train.device.startswith("cuda")
    findings += [gpu.devices(wanted), gpu.driver(), gpu.nvrtc(), gpu.cuda_bindings()]
    device = _device(train.device if train is not None else "auto")
    planned = None
    if train is not None:
        planned, found = _planned(configs, artifacts, device)
        findings += found
    findings += [room.threads(), *room.caches(store), room.disk(store, planned)]
    return findings + room.memory(planned, device)


def _planned(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact], device: str
) -> tuple[RecipePlan | None, list[Finding]]:
    """The plan of the recipe's training, and findings about its encoder, and the lack of a plan."""
    try:
        found = [encoder(encoder_name(configs["train"], configs, artifacts))]
    except XmcpipeError as error:
        found = [Finding("encoder", "wrong", error.message, error.hint)]
    if found[0].state != "ok":
        return None, found
    try:
        return cached_plan(configs, artifacts, DataShape(), device), found
    except XmcpipeError as error:
        return None, [*found, Finding("plan", "warning", error.message, TOKENIZE_FIRST)]


def _device(device: str) -> str:
    """The type of the device that a training on `device` uses, "cpu" or "cuda"."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if device.startswith("cuda") else "cpu"
