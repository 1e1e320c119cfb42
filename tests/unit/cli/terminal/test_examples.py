"""The examples at the end of the help texts: each command has one, and it is a valid command line."""

import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.cli.examples import EXAMPLES

GROUP: Any = typer.main.get_command(app)
LINES = [(name, line) for name, lines in EXAMPLES.items() for line in lines]


def commands() -> dict[str, Any]:
    """Every command by its name; a command of a group as `group command`."""
    found: dict[str, Any] = {}
    for name, command in GROUP.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(commands())


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_an_example_is_a_command_line_that_can_be_parsed(name: str, line: str) -> None:
    words = shlex.split(line.split(" | ")[-1])
    depth = 1 + len(name.split())
    assert words[:depth] == ["xmcpipe", *name.split()]
    # Parsing checks the names, types and choices of options. It opens no file.
    commands()[name].make_context(name, words[depth:])


def test_the_help_text_shows_the_examples() -> None:
    shown = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "80"}).output
    assert "Examples:" in shown
    for line in EXAMPLES["predict"]:
        assert line in shown
