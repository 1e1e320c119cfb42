"""New texts through the command line: the recipe counts, standard input streams, a kill loses one block."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.pipeline.places import Workplace
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.machine.processor import multiplies

# Runs the command line with small blocks, and kills its own process (like kill -9) after some of them.
KILL_AFTER_BLOCKS = """
import os, signal
from xmcpipe.inference import bulk
bulk.BLOCK_ROWS = 10
write, written = bulk._write_block, []
def die_in_time(*arguments):
    if len(written) == {blocks}:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
    written.append(arguments)
bulk._write_block = die_in_time
"""
READ_IN_BATCHES = ("--batch-size", "4")


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def texts_of(place: Workplace) -> list[str]:
    (raw,) = place.store.glob("raw/*/test.parquet")
    texts: list[str] = pq.read_table(raw, columns=["text"])["text"].to_pylist()
    return texts


def test_a_killed_prediction_of_a_file_continues_with_the_same_bytes(workplace: Workplace) -> None:
    lines = texts_of(workplace)[:55]
    (workplace.folder / "in.txt").write_text("\n".join(lines))
    call = ("predict", "tiny.toml", "--input", "in.txt", *READ_IN_BATCHES, "-o")
    whole = workplace.patched(KILL_AFTER_BLOCKS.format(blocks=99), *call, "whole.parquet")
    assert "whole.parquet: 55 documents, 5 labels each" in whole.stdout, whole.stderr
    for number in (3, 1):
        killed = workplace.patched(KILL_AFTER_BLOCKS.format(blocks=number), *call, "out.parquet")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (workplace.folder / "out.parquet").exists()
    done = workplace.patched(KILL_AFTER_BLOCKS.format(blocks=99), *call, "out.parquet")
    assert "continuing out.parquet after 40 documents" in done.stderr
    found, expected = (workplace.folder / f"{name}.parquet" for name in ("out", "whole"))
    assert found.read_bytes() == expected.read_bytes()
    assert not list(workplace.folder.glob(".out*"))


def test_a_file_has_the_labels_of_the_test_documents(workplace: Workplace) -> None:
    """The stage and the command score the same texts alike: they use the same table [predict]."""
    (workplace.folder / "in.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts_of(workplace))
    )
    workplace.call("predict", "tiny.toml", "--input", "in.jsonl", "-o", "out.parquet")
    (folder,) = workplace.store.glob("predictions/*")
    names = pq.read_table(folder / "labels.parquet")["label"].to_pylist()
    expected = pq.read_table(folder / "predictions.parquet").to_pydict()
    found = pq.read_table(workplace.folder / "out.parquet").to_pydict()
    for row, labels in enumerate(found["labels"]):
        assert len(labels) == 5  # predict.k of the recipe
        by_name = dict(
            zip((names[label] for label in expected["labels"][row]), expected["scores"][row], strict=True)
        )
        for label, score in zip(labels, found["scores"][row], strict=True):
            # bfloat16: documents are padded otherwise here, and the last labels may change places
            assert by_name.get(label, score) == pytest.approx(score, abs=0.1)
        assert len(by_name.keys() & set(labels)) >= 4


def test_the_table_of_the_recipe_and_settings_count(workplace: Workplace) -> None:
    call = ("predict", "tiny.toml", "--text", "some text")
    assert len(rows(workplace.call(*call).stdout)[0]["labels"]) == 5
    assert len(rows(workplace.call(*call, "--set", "predict.k=3").stdout)[0]["labels"]) == 3
    assert len(rows(workplace.call(*call, "--top", "2").stdout)[0]["labels"]) == 2
    wrong = workplace.call(*call, "--set", "predict.device=abacus", code=2)
    assert "device 'abacus' can't be used" in wrong.stderr
    scores = [
        rows(workplace.call(*call, "--set", f"predict.precision={precision}").stdout)[0]["labels"][0]["score"]
        for precision in ("float32", "bfloat16")
    ]
    assert (scores[0] != scores[1]) == multiplies("bfloat16")  # else it is computed in float32
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_standard_input_is_never_ignored_in_silence(workplace: Workplace) -> None:
    piped = subprocess.run(
        workplace.command("predict", "--recipe", "tiny.toml"),
        cwd=workplace.folder,
        env=workplace.environment(),
        input="one text\n\nanother\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert [row["text"] for row in rows(piped.stdout)] == ["one text", "", "another"]
    assert "labelling the lines of standard input" in piped.stderr
    redirected = workplace.call("predict", "tiny.toml", stdin="from a file\n")
    assert [row["text"] for row in rows(redirected.stdout)] == ["from a file"]
    both = workplace.call("predict", "tiny.toml", "--text", "named", stdin="from a file\n")
    assert [row["text"] for row in rows(both.stdout)] == ["named"]
    assert "standard input is not read" in both.stderr
    assert "reused" in workplace.call("predict", "tiny.toml").stdout


def test_a_silent_pipe_means_the_test_documents_and_is_said(workplace: Workplace) -> None:
    with subprocess.Popen(
        workplace.command("predict", "tiny.toml"),
        cwd=workplace.folder,
        env=workplace.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "reused" in process.stdout.read()  # it ends, though its standard input is open
        assert "standard input is silent: predicting the test documents" in process.stderr.read()
    assert process.returncode == 0


def test_a_line_is_labelled_when_it_arrives(workplace: Workplace) -> None:
    """Each line is answered before the next one is written, so nothing can wait for a full batch."""
    with subprocess.Popen(
        workplace.command("predict", "tiny.toml", "--input", "-"),
        cwd=workplace.folder,
        env=workplace.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("the first line", "the second", '{"id": "x", "text": "the third"}'):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["labels"]
        process.stdin.write("without a line feed")
        process.stdin.close()
        assert json.loads(process.stdout.readline())["text"] == "without a line feed"
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_import_columns_of_the_recipe_are_read(workplace: Workplace, tmp_path: Path) -> None:
    """A recipe that imports a title and an abstract labels a title and an abstract."""
    (model,) = workplace.store.glob("model/*")
    assert Manifest.read(model).kind == "model"
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[import]\ntrain = "none.csv"\ntext = ["title", "abstract"]\nid = "key"\n[predict]\nk = 1\n'
    )
    (tmp_path / "new.csv").write_text("key,title,abstract\nx,the title,the abstract\n")
    call = ("predict", str(recipe), "--model", str(model), "--input", str(tmp_path / "new.csv"))
    (row,) = rows(workplace.call(*call).stdout)
    assert (row["id"], len(row["labels"])) == ("x", 1)
    assert "expected a column 'body'" in workplace.call(*call, "--text-column", "body", code=2).stderr
