"""Predicts with each model folder below FOLDER, and writes what each came to, as a line of JSON, to a file.

One process for all: starting is most of the time that a folder takes. A crash or a hang ends the file at the
folder that did it.
"""

import json
import resource
import signal
import sys
import traceback
from pathlib import Path

from typer.testing import CliRunner

from xmcpipe.cli.app import app

SECONDS = 60  # a hang is what this finds: a busy machine needs a small part of it


def main(folder: Path, results: Path) -> None:
    """Go through the folders in the order of their names."""
    with results.open("w") as file:
        for model in sorted(folder.iterdir()):
            signal.alarm(SECONDS)
            done = CliRunner().invoke(app, ["predict", "--model", str(model), "--text", "word1 word2"], "y\n")
            unknown = done.exception is not None and not isinstance(done.exception, SystemExit)
            row = {
                "name": model.name,
                "code": done.exit_code,
                "out": done.stdout,
                "errors": "".join(traceback.format_exception(done.exception)) if unknown else done.stderr,
                "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
