"""What is around a service: the example that asks it, the Dockerfile, and the tables of the page."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import typer

from xmcpipe.api.model import Model
from xmcpipe.cli.app import app
from xmcpipe.serving.limits import CONNECTIONS, Limits
from xmcpipe.serving.question import EXPECTED, PredictBody
from xmcpipe.serving.server import STOP_SECONDS, open_port

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


def instructions() -> list[tuple[str, str]]:
    """Name and value of each instruction of the Dockerfile, in order; continued lines are joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, value.strip()) for name, _, value in (line.partition(" ") for line in lines)]


def values(name: str) -> list[str]:
    return [value for each, value in instructions() if each == name]


def test_the_dockerfile_copies_all_that_the_package_is_built_from() -> None:
    copied = {name for line in values("COPY") for name in line.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    facts = project["project"]
    assert {"pyproject.toml", facts["readme"], *facts["license-files"]} <= copied
    assert {*wheel["packages"], *wheel["force-include"]} <= copied
    (installed,) = values("RUN")
    for place, name in re.findall(r"(-c|-r) (\S+)", installed):
        assert name in copied, place
    extras = re.findall(r"'\.\[(.+?)\]'", installed)
    assert extras
    assert set(extras[0].split(",")) <= set(facts["optional-dependencies"])
    # torch alone first: what pins it is read before anything that needs it.
    assert installed.index(" torch") < installed.index("'.[")


def test_the_dockerfile_starts_a_command_that_exists_as_an_ordinary_user() -> None:
    entry, command = (json.loads(values(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    start: list[str] = [*entry, *command]
    assert start[:2] == ["xmcpipe", "serve"]
    commands: Any = typer.main.get_command(app)
    parsed = commands.commands["serve"].make_context("serve", start[2:])
    assert parsed.params["host"] == "0.0.0.0"
    assert values("EXPOSE") == [str(parsed.params["port"])]
    order = [name for name, _ in instructions()]
    (user,) = values("USER")
    assert user != "root"
    assert re.search(rf"useradd .*\b{user}\b", values("RUN")[0])
    assert order.index("RUN") < order.index("USER") < order.index("ENTRYPOINT")


def test_the_health_check_of_the_dockerfile_asks_a_service(port: int) -> None:
    (check,) = values("HEALTHCHECK")
    command: list[str] = json.loads(check.partition("CMD ")[2])
    assert command[0] == "python"
    assert f":{values('EXPOSE')[0]}/health" in command[-1]
    # As the check has it, but at the port of this test; and at one that nobody listens to.
    with open_port("127.0.0.1", 0) as closed:
        for asked, is_well in ((port, True), (closed.getsockname()[1], False)):
            program = command[-1].replace(f":{values('EXPOSE')[0]}/", f":{asked}/")
            done = subprocess.run([sys.executable, *command[1:-1], program], capture_output=True, check=False)
            assert (done.returncode == 0) == is_well


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
