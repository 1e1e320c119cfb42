"""A stranger's model folder gets one clear line, without a prompt, a hang, a crash or much memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.strangers.hostile_models import CASES, NAMES
from xmcpipe.modeling import encoder, heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import save_model
from xmcpipe.pieces import Pieces

pytestmark = pytest.mark.xdist_group("hostile models")  # all are read by one process


def save_good(folder: Path, tiny_encoder: Path) -> None:
    """A model of 30 labels, which any case then spoils."""
    folder.mkdir()
    head = heads.build(HeadShape("ffi", 32, 30, 5, bias=True, seed=2))
    head.reset_parameters()
    save_model(folder, Model(encoder.load(str(tiny_encoder)), "mean", 0.0, 0, head, 0), Pieces(48), {})
    encoder.load_tokenizer(str(tiny_encoder)).save_pretrained(folder / "tokenizer")
    pq.write_table(pa.table({"label": NAMES, "text": NAMES}), folder / "labels.parquet")


@pytest.fixture(scope="module")
def results(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each folder came to, by its name; a folder that crashed the process, or hung, is missing."""
    place = tmp_path_factory.mktemp("strangers")
    models, out = place / "models", place / "results.jsonl"
    models.mkdir()
    save_good(models / "a good one", tiny_encoder)
    for name, (spoil, _) in CASES.items():
        shutil.copytree(models / "a good one", models / name)
        (models / name / "encoder" / "code.py").write_text("raise SystemExit(77)")
        spoil(models / name)
    command = [sys.executable, "-m", "tests.pipeline.strangers.read_models", str(models), str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL)
    return {row["name"]: row for row in map(json.loads, out.read_text().splitlines())}


def test_a_good_folder_is_read(results: dict[str, dict[str, Any]]) -> None:
    good = results["a good one"]
    assert (good["code"], good["out"].count('"score"')) == (0, 5), good["errors"]


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_folder_gets_one_line(results: dict[str, dict[str, Any]], case: str) -> None:
    assert case in results, "the process crashed or hung"
    result = results[case]
    assert (result["code"], result["out"]) == (2, ""), result["errors"]
    assert result["errors"].startswith("error: ")
    assert result["errors"].count("\n") == 1
    assert CASES[case][1] in result["errors"]
    least = min(each["kilobytes"] for each in results.values())  # of the libraries, once loaded
    assert result["kilobytes"] - least < 1 << 19  # half a GiB
