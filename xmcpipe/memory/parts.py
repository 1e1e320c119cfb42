"""The parts into which the memory of a training is divided, and the part that each tensor belongs to."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcpipe.memory.live_bytes import LiveBytes
    from xmcpipe.training.trainer import Trainer

SCORES = "scores of a chunk"  # including their gradient, dX, and the workspace of the classifier's operators
ACTIVATIONS = "activations"  # of the encoder, and everything that lives only in backward
TEMPORARIES = "optimizer temporaries"
BATCH = "batch"
LABEL_FACTS = "label facts"  # documents, cluster and place of each label, and the vocabulary of words
LIBRARIES = "library workspace"
AVERAGE = "averaged weights"  # of the whole model
KEPT = "kept batches"  # of growth by gradient: the features that the head read, and their positives
PARTS = (
    "encoder weights",
    "encoder gradients",
    "encoder moments",
    ACTIVATIONS,
    "classifier weights",
    "classifier indices",
    "classifier gradient",
    "classifier moments",
    SCORES,
    "auxiliary branch",
    "intermediate layer",
    BATCH,
    LABEL_FACTS,
    AVERAGE,
    KEPT,
    TEMPORARIES,
    LIBRARIES,
)
BRANCHES = {"auxiliary": "auxiliary branch", "intermediate": "intermediate layer"}


def part_of(parameter: str, what: str) -> str:
    """The part of the "weights", "gradient" or "moments" of a parameter (or buffer), by its name."""
    owner = parameter.split(".")[0]
    if owner in BRANCHES:
        return BRANCHES[owner]
    if owner == "encoder":
        return "encoder gradients" if what == "gradient" else f"encoder {what}"
    if owner == "words":
        return LABEL_FACTS
    if parameter == "frequent.labels" or parameter.endswith("head.label_order"):
        return LABEL_FACTS
    is_index = parameter.split(".")[-1] in ("index", "word_index")
    return "classifier indices" if is_index else f"classifier {what}"


def count_all(meter: "LiveBytes", trainer: "Trainer") -> None:
    """Count all tensors that a trainer holds between two steps."""
    model = trainer.model
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        meter.count([tensor], part_of(name, "weights"))
    count_moments(meter, trainer)
    meter.count(trainer.average.tensors().values(), AVERAGE)
    if trainer.clusters is not None:
        meter.count([trainer.clusters], LABEL_FACTS)
    if trainer.growth is not None and trainer.growth.ring is not None:
        meter.count([trainer.growth.ring.features_RBD], KEPT)
    # With a GPU the label counts are on the host, which is not counted here.
    if trainer.device.type == trainer.feed.label_counts.device.type:
        meter.count([trainer.feed.label_counts], LABEL_FACTS)


def count_moments(meter: "LiveBytes", trainer: "Trainer") -> None:
    """Count the state of the optimizers, and assign it to its parts."""
    from torch import Tensor  # here, because the names above are needed where torch isn't loaded

    names: dict[Tensor, str] = {parameter: name for name, parameter in trainer.model.named_parameters()}
    meter.count(trainer.updates.moments(), "classifier moments")
    for optimizer in trainer.updates.optimizers():
        for parameter, state in optimizer.state.items():
            tensors = [value for value in state.values() if isinstance(value, Tensor)]
            meter.count(tensors, part_of(names[parameter], "moments"))
