"""Check the house rules: `python -m tools.house_rules [ROOT]`; ROOT is the current folder by default."""

import sys
from pathlib import Path

from tools.house_rules.cuda import long_cuda_functions
from tools.house_rules.files import CUDA, Finding, modules, sources
from tools.house_rules.functions import long_functions, many_parameters
from tools.house_rules.imports import import_cycles
from tools.house_rules.pointers import dangling_pointers
from tools.house_rules.repeats import repeated_blocks
from tools.house_rules.sizes import crowded_folders, long_files


def findings(root: Path) -> list[Finding]:
    """All findings below `root`, sorted by path and line. Raises SyntaxError for a file that isn't Python."""
    python = modules(root)
    found = crowded_folders(root) + long_files(root) + dangling_pointers(root)
    found += import_cycles(python) + repeated_blocks(python)
    for module in python:
        found += long_functions(module) + many_parameters(module)
    for source in sources(root, CUDA):
        found += long_cuda_functions(source)
    return sorted(found)


def main(arguments: list[str]) -> int:
    try:
        found = findings(Path(arguments[0] if arguments else "."))
    except SyntaxError as error:
        found = [Finding(str(error.filename), error.lineno or 1, f"{error.msg}, expected valid Python")]
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} findings; the rules: tools/house_rules/__init__.py", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
