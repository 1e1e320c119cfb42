from pathlib import Path

import pytest

from tests.unit.fake_stages import FetchConfig, StepConfig, World
from xmcpipe import recipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe

TEXT = """
name = "small"
seed = 7
[tokenize]
size = 3
[train]
seed = 1
[download]
dataset = "large"
"""


def load(
    world: World, folder: Path, text: str | None = TEXT, *settings: str, **tables: dict[str, object]
) -> Recipe:
    path = None
    if text is not None:
        path = folder / "r.toml"
        path.write_text(text)
    return recipe.load(str(path) if path else None, settings, tables, world.catalog)


def test_tables_become_configs_in_the_order_of_the_stages(world: World, tmp_path: Path) -> None:
    loaded = load(world, tmp_path)
    assert loaded.name == "small"
    assert list(loaded.configs.items()) == [
        ("download", FetchConfig("large")),
        ("tokenize", StepConfig(3, seed=7)),
        ("train", StepConfig(seed=1)),
    ]


def test_a_recipe_extends_another_key_by_key(world: World, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(TEXT)
    (tmp_path / "middle.toml").write_text('extends = "base.toml"\n[tokenize]\nauxiliary = 0.5\n')
    loaded = load(world, tmp_path, 'extends = "middle.toml"\nseed = 8\n[train]\nsize = 2\n')
    assert loaded.name == "r"
    assert loaded.configs == {
        "download": FetchConfig("large"),
        "tokenize": StepConfig(3, seed=8, auxiliary=0.5),
        "train": StepConfig(2, seed=1),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extends = 3", "expected the path of a recipe in extends, got 3"),
        ('extends = "nowhere.toml"', "nowhere.toml does not exist"),
        ('extends = "r.toml"', "extends r.toml, which extends it"),
        ('extends = "ring.toml"', "extends r.toml, which extends it"),
    ],
)
def test_recipes_that_can_not_be_extended(world: World, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "ring.toml").write_text('extends = "r.toml"\n')
    with pytest.raises(XmcpipeError, match=message):
        load(world, tmp_path, line + '\n[download]\ndataset = "large"\n')


def test_the_file_names_a_recipe_without_a_name(world: World, tmp_path: Path) -> None:
    assert load(world, tmp_path, "[download]").name == "r"


@pytest.mark.parametrize(
    ("setting", "config"),
    [
        ("tokenize.size=5", StepConfig(5, seed=7)),
        ("tokenize . size = 5 ", StepConfig(5, seed=7)),
        ("seed=9", StepConfig(3, seed=9)),
        ("tokenize.seed=9", StepConfig(3, seed=9)),
        ("tokenize.auxiliary=1e-1", StepConfig(3, seed=7, auxiliary=0.1)),
    ],
)
def test_set_overrides_the_file(world: World, tmp_path: Path, setting: str, config: StepConfig) -> None:
    assert load(world, tmp_path, TEXT, setting).configs["tokenize"] == config


@pytest.mark.parametrize(
    ("value", "read"),
    [('"large"', "large"), ("large", "large"), ("2024-01-01", "2024-01-01"), ("a=b", "a=b"), ("", ""),
     ("/data/x.jsonl", "/data/x.jsonl"), ("1\nmirror = 2", "1\nmirror = 2")],
)  # fmt: skip
def test_a_value_that_is_not_toml_is_a_string(world: World, tmp_path: Path, value: str, read: str) -> None:
    assert load(world, tmp_path, TEXT, f"download.dataset={value}").configs["download"] == FetchConfig(read)


def test_options_of_a_command_override_the_file_and_set_overrides_both(world: World, tmp_path: Path) -> None:
    assert load(world, tmp_path, TEXT, tokenize={"size": 4}).configs["tokenize"].size == 4
    assert load(world, tmp_path, TEXT, "tokenize.size=5", tokenize={"size": 4}).configs["tokenize"].size == 5
    assert load(world, tmp_path, None, tokenize={}).configs == {"tokenize": StepConfig()}
    assert load(world, tmp_path, None, "cluster.seed=2").configs == {"cluster": StepConfig(seed=2)}


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "[download]\n[tokenise]",
            [],
            r"r.toml: there is no table or key 'tokenise' \(did you mean 'tokenize'\?\)",
        ),
        (
            "[download]\n[tokenize]\nsiz = 3",
            [],
            r"r.toml: tokenize: there is no key 'siz' \(did you mean 'size'",
        ),
        ("size = 3\n[download]", [], "no table or key 'size' .did you mean tokenize.size"),
        ("[download]\n[tokenize]\nsize = '3'", [], "tokenize.size: expected a whole number, got '3'"),
        ("tokenize = 3\n[download]", [], "tokenize: expected a table, got 3"),
        ("name = 3\n[download]", [], "name: expected a string, got 3"),
        ("seed = '3'\n[download]", [], "seed: expected a whole number from 0, got '3'"),
        ("seed = true\n[download]", [], "seed: expected a whole number from 0, got True"),
        (
            "[download]\n[import]\ntrain = 'x'",
            [],
            r"expected one table that gives the data, got \[download\] and \[import\]",
        ),
        ("[tokenize]", [], r"expected a table \[download\] or \[import\], got none"),
        ("[import]", [], "import: the key 'train' is missing"),
        ("[download]\n[tokenize\n", [], "can't be read as TOML.*line 2"),
        ("[download]\ndataset = 'a'\ndataset = 'b'", [], "can't be read as TOML.*line 3"),
        (TEXT, ["tokenize.siz=3"], "did you mean 'size'"),
        (TEXT, ["epochs"], "expected --set STAGE.KEY=VALUE, got --set 'epochs'"),
        (TEXT, ["tokenize.=3"], "expected --set STAGE.KEY=VALUE"),
        (TEXT, ["tokenize.size.x=3"], "expected tokenize.size to be a table"),
        (TEXT, ["size=3"], "did you mean tokenize.size"),
        (TEXT, ["tokenize.size=three"], "expected a whole number, got 'three'"),
    ],
)
def test_a_faulty_recipe_is_one_error(
    world: World, tmp_path: Path, text: str, settings: list[str], message: str
) -> None:
    with pytest.raises(XmcpipeError, match=message):
        load(world, tmp_path, text, *settings)


def test_a_missing_or_binary_file_is_one_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes("name = 'gemütlich'".encode("latin-1"))
    with pytest.raises(XmcpipeError, match=r"expected UTF-8 text"):
        recipe.load(str(tmp_path / "latin.toml"), catalog=world.catalog)
    with pytest.raises(XmcpipeError, match=r"recipe: .*none.toml does not exist"):
        recipe.load(str(tmp_path / "none.toml"), catalog=world.catalog)
    with pytest.raises(XmcpipeError, match=r"is a folder"):
        recipe.load(str(tmp_path), catalog=world.catalog)


def test_a_packaged_recipe_is_found_by_its_name(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "FOLDERS", (tmp_path / "absent", tmp_path))
    (tmp_path / "quickstart.toml").write_text("[download]")
    assert recipe.load("quickstart", catalog=world.catalog).path == tmp_path / "quickstart.toml"
    with pytest.raises(XmcpipeError, match=r"no recipe 'quickstrat'.*did you mean 'quickstart'"):
        recipe.load("quickstrat", catalog=world.catalog)


def test_recipes_are_next_to_the_package_in_a_checkout() -> None:
    assert recipe.FOLDERS[1] == Path(recipe.__file__).parents[1] / "pipelines"
