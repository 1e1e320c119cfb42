"""Encoder folders of strangers: no code of theirs runs, no pickle is loaded, and each gets one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import encoder


class Bomb:
    """An object that would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(XmcpipeError, match="can't be loaded") as error:
        encoder.load(str(folder))
    assert "\n" not in str(error.value)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("read", [encoder.load, encoder.load_tokenizer, encoder.from_config, encoder.width])
def test_code_of_its_own_is_refused(folder: Path, name: str, read: Callable[[str], object]) -> None:
    (folder / "code.py").write_text("import os; os.system('touch exploded')")
    change(folder / name, auto_map={"AutoModel": "code.Model", "AutoConfig": "code.Config"})
    with pytest.raises(XmcpipeError, match=f"{name} names Python code of its own"):
        read(str(folder))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[" * 200_000),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "stranger"}'),
        ("config.json", '{"model_type": ["bert"]}'),
        ("config.json", "{}"),
        ("model.safetensors", "not a tensor"),
        ("model.safetensors", ""),
    ],
)
def test_damaged_files_get_one_line(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(XmcpipeError) as error:
        encoder.load(str(folder))
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[" * 200_000, "[]", "{}", "not JSON"])
def test_damaged_tokenizers_get_one_line(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(XmcpipeError) as error:
        encoder.load_tokenizer(str(folder))
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_pipe_in_place_of_a_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(XmcpipeError):
        encoder.load_tokenizer(str(folder))
