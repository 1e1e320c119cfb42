"""No pointer to a file that does not exist.

Comments, docstrings and pages name files of this repository by their path from the root. When a file moves,
they are easily forgotten. Every path that begins with one of FOLDERS and has a usual suffix must exist.
NAME stands for any name: `kernels/NAME.cu`. Tests are exempt, since they name made-up files.
"""

import re
from pathlib import Path

from tools.house_rules.files import CUDA, PYTHON, Finding, sources

PAGES = (".md",)
FOLDERS = ("xmcpipe", "kernels", "tests", "pipelines", "docs", "results", "tools")
POINTER = re.compile(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./-]*\.(?:py|cuh?|hpp|md|toml|json|png)\b")


def dangling_pointers(root: Path) -> list[Finding]:
    return [
        Finding(source.path, number, f"points to {pointer}, expected a file that exists")
        for source in sources(root, PYTHON + CUDA + PAGES)
        if not source.path.startswith("tests/")
        for number, line in enumerate(source.lines, start=1)
        for pointer in POINTER.findall(line)
        if "/NAME." not in pointer and not (root / pointer).exists()
    ]
