"""The commands on the pages for users are valid: every `xmcpipe …` in a block can be parsed."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from xmcpipe.cli.app import app

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}\S.*\n", re.MULTILINE)
COMMAND = re.compile(r"(?:.*\| |(?:\w+=\S+ )*)(?:\S+/)?(xmcpipe .*)")
PLACEHOLDER = re.compile(r"…|\b(?:COMMAND|ARTIFACT)\b|[\[<|]")  # of a syntax, not of a command
GROUP: Any = typer.main.get_command(app)


def lines_of(text: str) -> list[str]:
    """The command lines of the blocks of a page, from `xmcpipe` on."""
    blocks = [body for language, body in FENCED.findall(text) if language in ("", "bash")]
    blocks += INDENTED.findall(FENCED.sub("", text))
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [match[1] for line in lines if (match := COMMAND.fullmatch(line.strip()))]
    return [line for line in found if not PLACEHOLDER.search(line)]


COMMANDS = sorted({line for page in PAGES for line in lines_of(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_on_a_page_can_be_parsed(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = GROUP
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    if not hasattr(command, "commands"):
        command.make_context("xmcpipe", words)  # opens no file


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 25
    page = "```bash\nX=1 .venv/bin/xmcpipe run a.toml  # why\n```\n```python\nxmcpipe no\n```\n"
    assert lines_of(f"{page}\n    a | xmcpipe keys\n") == ["xmcpipe run a.toml  # why", "xmcpipe keys"]
