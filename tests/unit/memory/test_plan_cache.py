"""Plans that were made before are read, and are those that would be made now."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.planned_bytes import of_public_data, planned
from xmcpipe.cli.published import shape_of_download
from xmcpipe.data.registry import datasets
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory import plan_cache
from xmcpipe.memory.plan_cache import PLANNED, cached_plan, plan_identity
from xmcpipe.memory.recipe_plan import plan_recipe
from xmcpipe.memory.shape import DataShape
from xmcpipe.recipe import load, packaged_recipes

KNOWN: dict[str, Any] = json.loads(PLANNED.read_text(encoding="utf-8"))
SHAPE = DataShape(60, 40, 16, 2.0)


@pytest.fixture
def configs(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    settings = [f"train.encoder.name={tiny_encoder}", "train.head.fan_in=8", "train.head.bias=false"]
    return load(None, settings).configs


# One of each kind of recipe in `make test`: making a plan takes two seconds.
QUICK = ("eurlex4k", "wiki10_31k-light", "amazon670k-grouped")
RECORDED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KNOWN]


def test_every_recipe_of_a_registered_dataset_has_a_plan() -> None:
    assert list(KNOWN) == of_public_data()
    assert {name for name in datasets() if name in packaged_recipes()} < set(KNOWN)


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_plan_is_what_planning_predicts(name: str) -> None:
    recorded, made = KNOWN[name], json.loads(json.dumps(planned(name)))
    for each in (recorded, made):
        each["plan"].pop("process")  # that of the machine that made it
    assert recorded == made, "run `python -m tools.planned_bytes`"


@pytest.mark.parametrize("name", KNOWN)
def test_a_recipe_of_public_data_is_planned_without_a_rehearsal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_cache, "plan_recipe", lambda *_: pytest.fail("rehearsed"))
    configs = load(name).configs
    planned_now = cached_plan(configs, {}, shape_of_download(configs), "cuda")
    assert planned_now.data.labels == datasets()[name.split("-")[0]].versions[0].labels
    assert all(plan.total > 0 for plan in planned_now.plans)


def test_a_plan_is_made_once(configs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_plan(configs, {}, SHAPE, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(plan_cache, "plan_recipe", lambda *_: pytest.fail("made again"))
        assert cached_plan(configs, {}, SHAPE, "cpu") == first
    made = plan_recipe(configs, {}, SHAPE, "cpu")
    assert (made.plans, made.data, made.steps) == (first.plans, first.data, first.steps)


def test_what_a_plan_depends_on_is_in_its_name(configs: dict[str, Any], tiny_encoder: Path) -> None:
    settings = [f"train.encoder.name={tiny_encoder}", "train.head.fan_in=4", "train.head.bias=false"]
    others = [
        plan_identity(load(None, settings).configs, {}, SHAPE, "cpu"),
        plan_identity(configs, {}, DataShape(61, 40, 16, 2.0), "cpu"),
        plan_identity(configs, {}, SHAPE, "cuda"),
    ]
    assert len({plan_identity(configs, {}, SHAPE, "cpu"), *others}) == 4


@pytest.mark.parametrize("damage", ["", "{}", '{"plans": [1]}', "[]"])
def test_a_damaged_file_is_made_again(configs: dict[str, Any], damage: str, tmp_path: Path) -> None:
    first = cached_plan(configs, {}, SHAPE, "cpu")
    (path,) = (tmp_path / "cache/plans").iterdir()
    whole = path.read_text()
    path.write_text(damage)
    assert cached_plan(configs, {}, SHAPE, "cpu").plans == first.plans
    assert json.loads(path.read_text())["plans"] == json.loads(whole)["plans"]


def test_a_cache_that_cannot_be_written_is_no_error(configs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    assert cached_plan(configs, {}, SHAPE, "cpu").plans


def test_an_error_is_not_kept(configs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="the number of labels is unknown"):
        cached_plan(configs, {}, DataShape(), "cpu")
    assert not (tmp_path / "cache").exists()


def test_the_list_of_datasets_loads_no_library_of_models(tmp_path: Path) -> None:
    heavy = ["torch", "transformers", "numpy", "polars"]
    program = (
        "import sys\nfrom xmcpipe.cli.app import app\n"
        f"try:\n    app(['datasets', '--store', {str(tmp_path)!r}])\n"
        f"finally:\n    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "20.01" in done.stdout
