"""What is around a service: the example that asks it, the Dockerfile, and the tables of the page."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer

from xmcpipe.api.model import Model
from xmcpipe.cli.app import app
from xmcpipe.serving.limits import CONNECTIONS, Limits
from xmcpipe.serving.question import EXPECTED, PredictBody
from xmcpipe.serving.server import STOP_SECONDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "serving.md").read_text(encoding="utf-8")
OPTIONS = {
    "--queue": "queue",
    "--max-texts": "texts",
    "--max-text": "text",
    "--max-body": "body",
    "--max-k": "k",
}


def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "examples" / "serve_and_ask.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_example_asks_a_service(port: int, model: Model) -> None:
    done = ask(f"http://127.0.0.1:{port}", "word1 word2", "word30")
    assert done.returncode == 0, done.stderr
    expected = []
    for text in ("word1 word2", "word30"):
        found = model.predict(text, k=3)
        expected += [text, *(f"  {each.label:30} {each.probability:.2f}" for each in found)]
    assert done.stdout.splitlines() == expected
    refused = ask(f"http://127.0.0.1:{port}", "a" * 20_001)
    assert refused.returncode == 1
    assert refused.stderr == "expected texts[0], at most 20,000 characters, got 20,001\n"


def test_the_dockerfile_copies_what_is_there_and_starts_a_command_that_exists() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"xmcpipe", "kernels", "pipelines"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    start: list[str] = [
        word
        for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.+\])$", text, re.MULTILINE)
        for word in json.loads(line)
    ]
    assert start[:2] == ["xmcpipe", "serve"]
    command: Any = typer.main.get_command(app)
    parsed = command.commands["serve"].make_context("serve", start[2:])
    assert parsed.params["host"] == "0.0.0.0"
    assert f":{parsed.params['port']}/health" in text


def test_the_page_has_every_field_and_the_defaults_of_the_limits() -> None:
    command: Any = typer.main.get_command(app)
    defaults = {option: each.default for each in command.commands["serve"].params for option in each.opts}
    for option, field in OPTIONS.items():
        assert defaults[option] == getattr(Limits(), field)
        assert f"| `{option}` | {defaults[option]:,} |" in PAGE
    assert defaults["--batch-size"] == Limits().batch
    assert f"At most {CONNECTIONS:,} connections" in PAGE
    assert f"at most {STOP_SECONDS} seconds" in PAGE
    assert set(EXPECTED) == set(PredictBody.model_fields)
    for field in EXPECTED:
        assert f"`{field}`" in PAGE
