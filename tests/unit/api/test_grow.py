"""Labels added to a trained model in Python: what they predict, and that nothing old changes."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xmcpipe
from tests.unit.api.conftest import NAMES, Documents
from xmcpipe.api.saving import copy_model
from xmcpipe.artifacts.store import Artifact
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.saved import load_model

# Words of topics that some training documents are about too, and that have no label there.
NEW = {"compilers": range(60, 70), "drawing": range(70, 80)}


def of_label(name: str, count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Documents with the words of a new label and of an old one."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        old = chance.choice(NAMES)
        words = [10 * NAMES.index(old) + chance.randrange(10) for _ in range(4)]
        words += chance.sample(NEW[name], 4)
        made.append((" ".join(f"word{word}" for word in words), [name, old]))
    return made


@pytest.fixture(scope="module")
def model(unfitted: xmcpipe.XMCClassifier, train: Documents) -> xmcpipe.Model:
    """A model of the old labels alone."""
    from sklearn.base import clone

    about_more = [each for seed, name in enumerate(NEW) for each in of_label(name, 12, 50 + seed)]
    texts = [*train.texts[:136], *(text for text, _ in about_more)]
    labels = [*train.labels[:136], *([old] for _, (_, old) in about_more)]
    fitted: xmcpipe.XMCClassifier = clone(unfitted)
    return xmcpipe.load(fitted.fit(texts, labels).model_.path, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, list[str]]]:
    return [each for seed, name in enumerate(NEW) for each in of_label(name, 12, seed)]


@pytest.fixture(scope="module")
def grown(
    model: xmcpipe.Model, documents: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> xmcpipe.Model:
    store = tmp_path_factory.mktemp("grown")
    return model.grow([*NEW], {"compilers": "programs that translate"}, documents, store=store)


def test_new_labels_follow_the_old_ones(model: xmcpipe.Model, grown: xmcpipe.Model) -> None:
    assert grown.labels == [*model.labels, *NEW]
    assert grown.label_texts[-2:] == ["programs that translate", None]
    assert model.labels == sorted(NAMES)
    manifest = Artifact.at(grown.path).manifest
    assert (manifest.kind, manifest.stage) == ("model", "grow")
    assert manifest.inputs["model"] == Artifact.at(model.path).manifest.fingerprint
    assert not Artifact.at(grown.path).faults()


def test_old_rows_and_scores_keep_every_bit(
    model: xmcpipe.Model, grown: xmcpipe.Model, test: Documents
) -> None:
    old, new = (load_model(each.path)[0] for each in (model, grown))
    states = old.state_dict(), new.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        same = states[1][name]
        assert torch.equal(same[: len(tensor)].view(torch.uint8), tensor.view(torch.uint8)), name
    before = model.predict(test.texts, k=len(NAMES))
    after = grown.predict(test.texts, k=len(NAMES), allow=NAMES)
    assert [[each.label for each in row] for row in after] == [[each.label for each in row] for row in before]
    # The product of a matrix with more rows may add in another order.
    one, two = ([[each.score for each in row] for row in rows] for rows in (before, after))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_new_labels_are_found_in_documents_that_the_fit_has_not_seen(grown: xmcpipe.Model) -> None:
    found = 0
    for seed, name in enumerate(NEW):
        texts = [text for text, _ in of_label(name, 20, 100 + seed)]
        found += sum(name in [each.label for each in row] for row in grown.predict(texts, k=2))
    assert found >= 36


def test_documents_without_a_new_label_do_not_get_it(grown: xmcpipe.Model, test: Documents) -> None:
    rows = grown.predict(test.texts, k=1)
    assert sum(row[0].label in NEW for row in rows) <= 1


def test_a_text_alone_is_enough(model: xmcpipe.Model) -> None:
    words = " ".join(f"word{number}" for number in NEW["drawing"])
    grown = model.grow(["drawing"], {"drawing": words})
    texts = [text for text, _ in of_label("drawing", 20, 7)]
    assert sum("drawing" in [each.label for each in row] for row in grown.predict(texts, k=2)) >= 12
    folder = grown.path
    assert folder.is_dir()
    del grown
    assert not folder.exists()


def test_a_copied_model_grows_and_a_grown_one_again(
    grown: xmcpipe.Model, tmp_path: Path, documents: list[tuple[str, list[str]]]
) -> None:
    grown.save(tmp_path / "copy")
    again = xmcpipe.load(tmp_path / "copy", device="cpu").grow(
        ["music theory"], documents=[(text, ["music theory", *names]) for text, names in documents[:3]]
    )
    assert again.labels == [*grown.labels, "music theory"]
    again.save(tmp_path / "last")
    assert xmcpipe.load(tmp_path / "last").labels == again.labels


def test_the_same_labels_are_the_same_artifact(model: xmcpipe.Model, tmp_path: Path) -> None:
    one, two = (model.grow(["a label"], {"a label": text}, store=tmp_path) for text in ("word1", "word1"))
    assert one.path == two.path
    assert model.grow(["a label"], {"a label": "word2"}, store=tmp_path).path != one.path
    assert (
        model.grow(["a label"], {"a label": "word1"}, settings={"seed": 1}, store=tmp_path).path != one.path
    )


def test_epochs_move_new_rows_or_all(
    model: xmcpipe.Model, documents: list[tuple[str, list[str]]], tmp_path: Path
) -> None:
    settings: list[dict[str, Any]] = [{"epochs": 0}, {"epochs": 2}, {"epochs": 2, "rows": "all"}]
    heads = [
        load_model(model.grow([*NEW], documents=documents, settings=each, store=tmp_path).path)[0].head
        for each in settings
    ]
    old, count = load_model(model.path)[0].head, len(NAMES)
    for head, is_same in zip(heads, (True, True, False), strict=True):
        assert torch.equal(head.weight[:count], old.weight) == is_same
    assert not torch.equal(heads[0].weight[count:], heads[1].weight[count:])
    # Losses of labels don't depend on each other: the new rows are the same, whichever others are trained.
    assert torch.equal(heads[1].weight[count:], heads[2].weight[count:])


FLOAT8 = {
    "train.memory": "light",
    "train.head.optimizer": "sgd",
    "train.head.lr": 1.0,
    "train.head.weight_dtype": "float8",
}


@pytest.mark.parametrize(
    "settings",
    [
        {"train.head.group": 4, "train.head.group_by": "frequency"},
        {"train.head.group": 2, "train.head.group_by": "random"},
        FLOAT8,
    ],
    ids=["groups, with free slots", "groups", "8 bits"],
)
def test_groups_and_weights_of_8_bits_grow(
    unfitted: xmcpipe.XMCClassifier,
    train: Documents,
    test: Documents,
    documents: list[tuple[str, list[str]]],
    settings: dict[str, Any],
) -> None:
    from sklearn.base import clone

    classifier: xmcpipe.XMCClassifier = clone(unfitted)
    classifier.set_params(settings={"predict.k": 4, **settings})
    fitted = classifier.fit(train.texts, train.labels)
    model = xmcpipe.load(fitted.model_.path, device="cpu", precision="float32")
    grown = model.grow([*NEW], documents=documents)
    old, new = (load_model(each.path)[0].head for each in (model, grown))
    for tensor, same in zip(old.state_dict().values(), new.state_dict().values(), strict=True):
        assert torch.equal(same[: len(tensor)].view(torch.uint8), tensor.view(torch.uint8))
    found = 0
    for seed, name in enumerate(NEW):
        texts = [text for text, _ in of_label(name, 20, 100 + seed)]
        found += sum(name in [each.label for each in row] for row in grown.predict(texts, k=2))
    assert found >= 24  # of 40; two of eight labels at random would be right for 10
    before, after = model.predict(test.texts, k=6), grown.predict(test.texts, k=6, allow=NAMES)
    for row, same_row in zip(before, after, strict=True):
        given = {each.label: each.score for each in same_row}
        assert given == pytest.approx({each.label: each.score for each in row}, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": []}, "expected labels to add, got none"),
        ({"labels": ["music"], "texts": {"music": "a"}}, "the model doesn't have, got 'music'"),
        ({"labels": ["a", "b", "a"]}, "expected distinct labels, got 'a' in rows 1 and 3"),
        ({"labels": ["a", " "]}, "a blank one in row 2"),
        ({"labels": ["a"]}, "no text and no documents for 'a'"),
        ({"labels": ["a", "b"], "texts": {"a": "x", "b": " "}}, "no text and no documents for 'b'"),
        ({"labels": ["a", "b"], "documents": [("x", ["a"])]}, "got neither for 'b'"),
        ({"labels": ["a"], "documents": [(" ", ["a"])]}, "got neither for 'a'"),
        ({"labels": ["a"], "texts": {"b": "x"}}, "texts: there is no new label 'b'"),
        ({"labels": ["a"], "documents": ["x"]}, "pairs of a text and its labels"),
        ({"labels": ["a"], "texts": {"a": "x"}, "epochs": 1}, "expected documents to train on with epochs"),
        ({"labels": ["a"], "texts": {"a": "x"}, "settings": {"epoch": 1}}, "there is no key 'epoch'"),
    ],
)
def test_bad_labels_are_one_line(model: xmcpipe.Model, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message) as error:
        model.grow(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path, model: xmcpipe.Model) -> None:
    from xmcpipe.api.chains import ModelFolders
    from xmcpipe.api.growing import run_grow

    with pytest.raises(XmcpipeError, match="is not a model artifact"):
        run_grow(ModelFolders(tmp_path), {"labels": "new.txt"}, tmp_path / "store")
    copy_model(model.folders, tmp_path / "copy", {}, ("manifest.json",))
    (tmp_path / "new.txt").write_text("music\n")
    with pytest.raises(XmcpipeError, match="got 'music'"):
        run_grow(ModelFolders(tmp_path / "copy"), {"labels": str(tmp_path / "new.txt")}, tmp_path / "store")
