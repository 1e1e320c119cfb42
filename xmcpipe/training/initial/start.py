"""A training that begins with another model: its encoder, and the rows of labels that both have by name.

All other labels begin as usual. A row is its connections, weights, bias and words; of the words, those that
the new vocabulary has too, and then those that were chosen for the label until its places are full. A label
may have been frequent in one training and not in the other:

    sparse, then sparse        the row
    frequent, then frequent    the row: all features, and as many words as there are places
    sparse, then frequent      the row's weights at its features, and 0 elsewhere
    frequent, then sparse      as usual: K features of many would say something else

Labels of groups stay in the groups that they were in, as far as their number allows (`regrouping`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.data.vocabulary_file import read_vocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model
from xmcpipe.training.initial.regrouping import kept_groups
from xmcpipe.training.initial.shared_rows import frequent_features, start_rows

logger = logging.getLogger(__name__)
Int64s = npt.NDArray[np.int64]
KINDS = ("ffi", "dense")


@dataclass(frozen=True)
class Start:
    """The model in `folder`, and the id in it of each label of the new model, int64 [L], or -1."""

    folder: Path
    model: Model
    old_L: Int64s

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> "Start":
        """For a new model with the labels `names`.

        Raises XmcpipeError for files that differ from their checksums, and as `load_model` does.
        """
        if (folder / FILE_NAME).is_file():  # no input of the stage, which would have compared its files
            require_whole(Artifact.at(folder))
        model, _ = load_model(folder)
        old_names = read_vocabulary(folder, model.head.num_labels)["label"].to_pylist()
        place = {name: number for number, name in enumerate(old_names)}
        return cls(folder, model, np.array([place.get(name, -1) for name in names], np.int64))

    def order(self, usual_L: Tensor | None) -> Tensor | None:
        """The order of the new model's labels in its head, int32 [L]; None without groups.

        `usual_L` is the order of a training that begins anew.
        """
        group, order = self.model.head.shape.group, self.model.head.order
        if usual_L is None or order is None:  # a different group is refused later
            return usual_L
        place_of = np.empty(self.model.head.num_labels, np.int64)
        place_of[order.cpu().numpy()] = np.arange(len(place_of))
        old_group_L = np.where(self.old_L >= 0, place_of[self.old_L] // group, -1)
        return torch.from_numpy(kept_groups(usual_L.numpy(), old_group_L, group))

    @torch.no_grad()
    def copy_to(self, model: Model, frozen: bool) -> int:
        """Copy encoder and rows into `model`, whose head has the order of `order`; returns the shared labels.

        With `frozen` the encoder of both must be the same. Raises XmcpipeError for another kind or size of
        encoder, features or output layer.
        """
        old = self.model
        _require_alike(model, old, self.folder)
        _start_encoder(model, old, self.folder, frozen)
        if model.intermediate is not None and old.intermediate is not None:
            model.intermediate.load_state_dict(old.intermediate.state_dict())
        new_n = np.flatnonzero(self.old_L >= 0)
        start_rows(model, old, new_n, self.old_L[new_n])
        count, total = f"{len(new_n):,}", f"{len(self.old_L):,}"
        logger.info("starting from %s: %s of %s labels shared", self.folder, count, total)
        return len(new_n)


def _require_alike(model: Model, old: Model, folder: Path) -> None:
    """Raise XmcpipeError for the first difference that makes rows or weights mean something else."""
    new_shape, old_shape = model.head.shape, old.head.shape
    for what, expected, got in (
        ("encoder.pooling", old.pooling, model.pooling),
        ("head.kind", old_shape.kind, new_shape.kind),
        ("head.intermediate", _width(old), _width(model)),
        ("head.fan_in", old_shape.fan_in, new_shape.fan_in),
        ("head.group", old_shape.group, new_shape.group),
        ("head.bias", old_shape.bias, new_shape.bias),
        ("head.frequent_features", frequent_features(old), frequent_features(model)),
    ):
        if expected != got:
            raise XmcpipeError(
                f"train.start_from: expected {what} = {expected!r}, as in {folder}, got {got!r}",
                f"set train.{what} to it, or start from another model",
            )
    if new_shape.kind not in KINDS:
        raise XmcpipeError(
            f"train.start_from: expected a head of the kind {' or '.join(KINDS)}, got {new_shape.kind}",
            "omit start_from, or change the head of both trainings",
        )


def _width(model: Model) -> int:
    return 0 if model.intermediate is None else model.intermediate.out_features


def _start_encoder(model: Model, old: Model, folder: Path, frozen: bool) -> None:
    new_state, old_state = model.encoder.state_dict(), old.encoder.state_dict()
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (old_state, new_state)]
    if shapes[0] != shapes[1]:
        name = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
        raise XmcpipeError(
            f"train.start_from: expected the encoder of {folder}, got one that differs in {name}: "
            f"{shapes[1].get(name)} for {shapes[0].get(name)}",
            "name the encoder of that model in [tokenize] and [train.encoder]",
        )
    if not frozen:
        model.encoder.load_state_dict(old_state)
        return
    if any(
        not torch.equal(tensor.to(old_state[name]), old_state[name]) for name, tensor in new_state.items()
    ):
        raise XmcpipeError(
            f"train.start_from: the encoder of {folder} was trained, and is not that of the embeddings",
            f"set embed.encoder and train.encoder.name to {folder / 'encoder'}, or train the encoder",
        )
