"""`kernels build` and `kernels list`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.cli.commands.machine import kernels
from xmcpipe.ops.nvrtc import compiler as nvrtc
from xmcpipe.ops.nvrtc import kernel_table
from xmcpipe.ops.nvrtc import source as kernel_source
from xmcpipe.ops.nvrtc.architectures import COMMON_ARCHITECTURES
from xmcpipe.ops.nvrtc.variant import Kernel

TEXT = 'extern "C" __global__ void __launch_bounds__(64) fill(float* x) { x[threadIdx.x] = MORE; }\n'
FILL = Kernel("fill", threads=64, macros=(("MORE", (0, 1)),), varied=(("MORE",),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One small kernel, and an empty cache."""
    (tmp_path / "fill.cu").write_text(TEXT)
    monkeypatch.setattr(kernel_source, "FOLDERS", (tmp_path,))
    monkeypatch.setattr(kernel_table, "KERNELS", {"fill": FILL})
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    kernel_source._text_of.cache_clear()
    yield tmp_path / "cache" / "kernels"
    kernel_source._text_of.cache_clear()


@pytest.fixture
def compiler() -> None:
    if reason := nvrtc.unavailable_reason():
        pytest.skip(reason)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["kernels", *arguments])
    # Standard error may have progress too, if the machine is slow.
    return result.exit_code, result.stdout if "--json" in arguments else result.output


def test_the_commands_and_their_options_are_these() -> None:
    group = typer.main.get_command(kernels.commands)
    found = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    assert found == {"build": {"--arch", "--json"}, "list": {"--json"}}


@pytest.mark.usefixtures("compiler")
def test_kernels_are_compiled_ahead_and_cached(cache: Path) -> None:
    code, output = run("build", "--arch", "sm_90", "--arch", "sm_75", "--arch", "sm_90", "--json")
    assert code == 0
    made = json.loads(output)
    assert made["cache"] == str(cache)
    assert len(list(cache.iterdir())) == len(made["kernels"]) == 4
    assert [(row["architecture"], row["variant"]) for row in made["kernels"]] == [
        ("sm_90", {"MORE": 0}),
        ("sm_90", {"MORE": 1}),
        ("sm_75", {"MORE": 0}),
        ("sm_75", {"MORE": 1}),
    ]
    for row in made["kernels"]:
        assert (row["kernel"], row["cached"], row["spill_bytes"], row["stack_bytes"]) == ("fill", False, 0, 0)
        assert row["registers"] > 0
        assert row["bytes"] > 0
        assert row["seconds"] > 0
    second = json.loads(run("build", "--arch", "sm_90", "--json")[1])["kernels"]
    assert [(row["cached"], row["seconds"]) for row in second] == [(True, 0.0)] * 2


@pytest.mark.usefixtures("compiler")
def test_the_compiled_kernels_are_printed_as_a_table(cache: Path) -> None:
    code, output = run("build", "--arch", "sm_90")
    lines = output.splitlines()
    assert code == 0
    header = ["kernel", "variant", "arch", "registers", "shared", "spills", "bytes", "state", "seconds"]
    assert any(line.split() == header for line in lines)
    (row,) = (line.split() for line in lines if "MORE=1" in line)
    assert row[:3] == ["fill", "MORE=1", "sm_90"]
    assert row[-2] == "compiled"
    assert lines[-1] == f"2 compiled, 0 already in the cache: {cache}"
    assert "2 already in the cache" in run("build", "--arch", "sm_90")[1]


@pytest.mark.usefixtures("compiler")
def test_all_means_the_common_architectures() -> None:
    code, output = run("build", "--arch", "all", "--json")
    assert code == 0
    found = list(dict.fromkeys(row["architecture"] for row in json.loads(output)["kernels"]))
    assert found == list(COMMON_ARCHITECTURES)


@pytest.mark.usefixtures("compiler")
def test_many_kernels_are_compiled_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "JOBS_PER_PROCESS", 1)
    monkeypatch.setattr("xmcpipe.machine.cores.usable_cores", lambda: 2)
    # A spawned process has the package's own folder of kernels.
    monkeypatch.setattr(kernel_source, "FOLDERS", (kernel_source._PACKAGE.parent / "kernels",))
    scores = Kernel("ffi_grad_features_sum", threads=256, file="ffi_grad_features.cu")
    monkeypatch.setattr(kernel_table, "KERNELS", {"sum": scores})
    code, output = run("build", "--arch", "sm_90", "--arch", "sm_80", "--json")
    assert code == 0
    assert [row["cached"] for row in json.loads(output)["kernels"]] == [False, False]
    assert "0 compiled" in run("build", "--arch", "sm_90", "--arch", "sm_80")[1]


def test_an_unknown_architecture_is_one_line_that_names_the_known_ones() -> None:
    code, output = run("build", "--arch", "sm_91")
    assert code == 2
    if nvrtc.unavailable_reason() is None:
        assert output.startswith("error: unknown architecture 'sm_91' (known: sm_75, sm_80,")
        assert output.count("\n") == 1


@pytest.mark.usefixtures("compiler")
def test_without_an_architecture_it_is_that_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run("build") == (
        2,
        "error: expected --arch, because this machine has no GPU (add --arch sm_90, or --arch all)\n",
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: [(9, 0), (8, 6), (9, 0)][index])
    found = json.loads(run("build", "--json")[1])["kernels"]
    assert [row["architecture"] for row in found] == ["sm_90", "sm_90", "sm_86", "sm_86"]


def test_without_the_gpu_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "the 'gpu' extra isn't installed: no cuda.bindings"
    monkeypatch.setattr(nvrtc, "unavailable_reason", lambda: reason)
    assert run("build", "--arch", "sm_90") == (
        2,
        "error: kernels can't be compiled: the 'gpu' extra isn't installed: no cuda.bindings "
        "(pip install 'xmcpipe[gpu]')\n",
    )
    code, output = run("list")
    assert code == 0
    assert output.endswith(
        "kernels can't be compiled here: the 'gpu' extra isn't installed: no cuda.bindings "
        "(pip install 'xmcpipe[gpu]')\n"
    )


@pytest.mark.usefixtures("compiler")
def test_the_list_shows_cached_kernels() -> None:
    nvrtc.compile_kernel(FILL.variant(MORE=1), "sm_86")
    code, output = run("list", "--json")
    assert code == 0
    (row,) = json.loads(output)["kernels"]
    assert row["kernel"] == "fill"
    assert row["macros"] == {"MORE": [0, 1]}
    assert row["variants"]["sm_86"] == 2
    assert row["cached"] == {"sm_86": 1}
    assert "sm_86:1/2" in run("list")[1]
