"""The tables of `grow`: labels are written as the model has them."""

from pathlib import Path

import pytest

from xmcpipe.stages.beside.grow import GrowConfig, _read


@pytest.mark.parametrize("known", ["<http://ex.org/p1>", "http://ex.org/p1", "art"])
def test_uris_have_brackets_if_those_of_the_model_have(tmp_path: Path, known: str) -> None:
    (tmp_path / "labels.tsv").write_text("<http://ex.org/p2>\tdogs\n<http://ex.org/p3>\tfish\t59.9\n")
    (tmp_path / "documents.jsonl").write_text(
        '{"text": "about dogs", "labels": ["<http://ex.org/p2>", "<http://ex.org/p1>"]}\n'
    )
    config = GrowConfig(labels=str(tmp_path / "labels.tsv"), documents=str(tmp_path / "documents.jsonl"))
    new = _read(config, [known])
    form = "<http://ex.org/p%d>" if known.startswith("<") else "http://ex.org/p%d"
    assert new.names == (form % 2, form % 3)
    assert new.texts == ("dogs", "fish")
    of_known = [] if known == "art" else [[0, 0]]
    assert new.pairs_P2.tolist() == [*of_known, [0, 1]]
