"""Print the counts of the kernels, or write them to kernels/README.md."""

import argparse
import re

from tests.kernels.counts.table import table
from tests.kernels.host.kernel import COMPILER, KERNELS_FOLDER
from tests.kernels.sass.disassembly import unavailable_reason
from xmcpipe.ops.nvrtc import compiler

README = KERNELS_FOLDER / "README.md"
BEGIN, END = "<!-- counts: python -m tests.kernels.counts --write -->\n", "<!-- end of counts -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table to kernels/{README.name}")
    write = parser.parse_args().write
    reason = None if COMPILER else "no g++"
    if reason := reason or compiler.unavailable_reason() or unavailable_reason():
        raise SystemExit(f"kernels can't be counted: {reason}")
    made = table()
    if not write:
        print(made, end="")
        return
    text = README.read_text(encoding="utf-8")
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    changed, count = re.subn(pattern, lambda _: f"{BEGIN}\n{made}\n{END}", text, flags=re.DOTALL)
    assert count == 1, f"expected the markers of the counts in {README.name} once, found them {count} times"
    README.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    main()
