"""The interface of the command line: commands, options, start-up time, exit codes."""

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

import xmcpipe
from xmcpipe.cli.app import app
from xmcpipe.cli.commands.importing import import_
from xmcpipe.cli.commands.init import init
from xmcpipe.stages.importing import ImportConfig

SHARED = {"--recipe", "--set", "--store", "--force", "--json"}
IMPORT = {
    *("--layout", "--train", "--test", "--id-column", "--text-column", "--text-separator", "--labels-column"),
    *("--label-separator", "--encoding", "--header", "--no-header", "--quotes", "--label-table"),
    *(
        "--label-columns",
        "--multi-hot",
        "--no-multi-hot",
        "--format",
        "--label-prefix",
        "--delimiter",
        "--split",
        "--split-seed",
    ),
    *("--label-column", "--label-text-column", "--label-header", "--no-label-header", "--empty-text"),
    *(
        "--no-labels",
        "--repeated",
        "--leaked",
        "--unseen",
        "--same-text",
        "--min-label-count",
        "--test-every",
    ),
}
READS = SHARED | {"--verify", "--no-verify"}  # of the stages that read artifacts
# Frozen: a change of a name here breaks other people's scripts.
COMMANDS = {
    "datasets": {"--store", "--json"},
    "init": IMPORT | {"--labels", "--encoder", "--out", "-o", "--force", "--json"},
    "download": SHARED | {"--from"},
    "import": SHARED | IMPORT,
    "tokenize": READS | {"--raw"},
    "cluster": READS | {"--shards", "--random"},
    "embed": READS | {"--shards"},
    "train": READS | {"--shards", "--clusters", "--embeddings", "--steps"},
    "calibrate": READS | {"--model", "--shards"},
    "grow": READS - {"--recipe"}
    | {"--labels", "--documents", "--epochs", "--rows", "--calibration", "--shards", "--format"}
    | {"--label-column", "--label-text-column", "--label-header", "--no-label-header", "--text-column"}
    | {"--text-separator", "--labels-column", "--label-separator", "--label-prefix", "--encoding"}
    | {"--header", "--no-header", "--quotes", "--delimiter"},
    "predict": READS
    | {"--threshold", "--allow", "--deny", "--calibration"}
    | {"--model", "--shards", "--text", "--input", "--out", "-o", "--format", "--top", "--device"}
    | {"--batch-size", "--explain", "--input-format", "--text-column", "--id-column", "--text-separator"}
    | {"--encoding", "--header", "--no-header", "--quotes", "--delimiter", "--label-prefix"},
    "baseline": READS | {"--system", "--top", "--seed"},
    "eval": READS
    | {
        "--predictions",
        "--compare",
        "--truth",
        "--train",
        "--filter",
        "--shards",
        "--k",
        "--bins",
        "--a",
        "--b",
        "--rounds",
        "--level",
        "--seed",
        "--format",
        "--per-label",
    },
    "serve": {
        "--host",
        "--port",
        "--device",
        "--precision",
        "--calibration",
        "--batch-size",
        "--queue",
        "--max-texts",
    }
    | {"--max-text", "--max-body", "--max-k", "--store"},
    "report": {
        "--verify",
        "--no-verify",
        "--output",
        "-o",
        "--name",
        "--set",
        "--documents",
        "--bootstrap",
        "--baselines",
        "--no-baselines",
        "--seed",
        "--store",
        "--json",
    },
    "export": {"--out", "-o", "--format", "--json"},
    "run": READS | {"--from", "--to"},
    "status": SHARED - {"--force"} | {"--verify"},
    "gc": {"--keep", "--all", "--archives", "--set", "--store", "--dry-run", "--yes", "--json"},
    "keys": {"--schema", "--json"},
    "plan": SHARED - {"--force"}
    | {"--shards", "--clusters", "--labels", "--documents", "--tokens", "--positives", "--num-clusters"}
    | {"--device", "--bandwidth", "--tflops", "--measure"},
    "doctor": {"--recipe", "--set", "--store", "--json"},
    "bench": {
        "--labels",
        "--fan-in",
        "--group",
        "--features",
        "--batch",
        "--dtype",
        "--what",
        "--device",
        "--quick",
    }
    | {"--repeats", "--seconds", "--out", "--json"},
    "kernels": set(),  # its own commands are frozen by test_cli_kernels
}
ARGUMENTS = {
    "download": ["dataset"],
    "init": ["folder"],
    "import": ["folder"],
    "predict": ["recipe_argument"],
    **{
        name: ["recipe_argument"]
        for name in ("tokenize", "cluster", "embed", "train", "calibrate", "baseline")
    },
    "grow": ["model"],
    "serve": ["model"],
    "report": ["runs"],
    "export": ["artifact"],
    "eval": ["recipe_argument"],
    "run": ["recipe_argument"],
    "status": ["recipe_argument"],
    "keys": ["name"],
    "plan": ["recipe_argument"],
    "doctor": ["recipe_argument"],
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_commands_and_their_options_are_these() -> None:
    command = typer.main.get_command(app)
    commands = command.commands  # type: ignore[attr-defined]
    found = {
        name: {
            option
            for parameter in each.params
            if parameter.param_type_name == "option"
            for option in [*parameter.opts, *parameter.secondary_opts]
        }
        for name, each in commands.items()
    }
    assert list(found) == list(COMMANDS)
    for name, options in COMMANDS.items():
        assert found[name] == options, name
        arguments = [each.name for each in commands[name].params if each.param_type_name == "argument"]
        assert arguments == ARGUMENTS.get(name, [])


def test_every_option_of_a_command_has_a_help_text() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("command", [import_, init])
def test_import_and_init_have_an_option_for_every_key_of_the_config(command: Callable[..., None]) -> None:
    keys = {field.name for field in dataclasses.fields(ImportConfig)}
    assert keys <= set(inspect.signature(command).parameters)


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "faiss", "polars", "pyarrow", "numpy", "scipy", "sklearn", "tokenizers"]
    heavy += ["fastapi", "uvicorn", "pydantic", "prometheus_client"]
    program = f"import sys, xmcpipe.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = python("-c", program)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_and_version_and_no_arguments() -> None:
    runner = CliRunner()
    assert "tokenize" in runner.invoke(app, ["--help"]).output
    for option in ("--version", "-V"):
        assert runner.invoke(app, [option]).output.strip() == xmcpipe.__version__
    assert "Usage" in runner.invoke(app, []).output


@pytest.mark.parametrize(
    "arguments", [["trian"], ["train", "--recipes", "x"], ["train", "--recipe"], ["predict", "--top", "0"]]
)
def test_a_wrong_word_on_the_command_line_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_module_is_the_command_and_a_known_error_is_one_line_on_standard_error() -> None:
    done = python("-m", "xmcpipe", "run", "no-such-recipe.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: recipe: expected a file, but no-such-recipe.toml does not exist (check the path)\n"
    )
