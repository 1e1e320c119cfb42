"""The house rules on small trees, each with one fault. `make check` applies them to the repository itself."""

from pathlib import Path

import pytest

from tools.house_rules.__main__ import findings, main
from tools.house_rules.cuda import cuda_functions

STATEMENT = "    value = 1\n"


def tree(root: Path, files: dict[str, str]) -> list[str]:
    """Write `files` below `root` and return the findings as text."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    return [str(finding) for finding in findings(root)]


def test_a_tree_within_the_limits_has_no_finding(tmp_path: Path) -> None:
    files = {f"xmcpipe/module{number}.py": "def f() -> None:\n" + STATEMENT * 39 for number in range(16)}
    assert tree(tmp_path, files | {"kernels/a.cu": "int a;\n" * 300}) == []


def test_a_folder_with_too_many_files(tmp_path: Path) -> None:
    hidden = {"results/.ignored": "", "results/__pycache__/a.pyc": ""}
    found = tree(tmp_path, {f"results/{number}.json": "" for number in range(17)} | hidden)
    assert found == ["results:1: folder of 17 files, expected at most 16"]


@pytest.mark.parametrize("path", ["xmcpipe/long.py", "tests/kernels/host.hpp", "kernels/long.cuh"])
def test_a_file_with_too_many_lines(tmp_path: Path, path: str) -> None:
    assert tree(tmp_path, {path: "\n" * 301}) == [f"{path}:1: file of 301 lines, expected at most 300"]


@pytest.mark.parametrize(
    "above",
    [
        "# Long: a table\n",
        "# Long: a table\n@decorated\n",
        "@decorated\n# Long: a table\n",
        "# Long: a table that\n# nobody wants to read in pieces\n",
    ],
)
def test_a_long_function_needs_a_reason(tmp_path: Path, above: str) -> None:
    function = "def f() -> None:\n" + STATEMENT * 40
    expected = "function f of 41 lines, expected at most 40, or `# Long: REASON` directly above"
    assert tree(tmp_path, {"tests/a.py": function}) == [f"tests/a.py:1: {expected}"]
    assert tree(tmp_path, {"tests/a.py": above + function}) == []


@pytest.mark.parametrize(
    "above", ["# Long:\n", "# Long: a table\n\n", "# Long: a table\nx = 1\n", "# A table\n"]
)
def test_a_comment_that_is_no_reason(tmp_path: Path, above: str) -> None:
    assert len(tree(tmp_path, {"tests/a.py": above + "def f() -> None:\n" + STATEMENT * 40})) == 1


def test_a_nested_function_is_counted_by_itself(tmp_path: Path) -> None:
    text = "# Long: holds another\ndef f() -> None:\n    def g() -> None:\n" + ("    " + STATEMENT) * 40
    (found,) = tree(tmp_path, {"xmcpipe/a.py": text})
    assert found.startswith("xmcpipe/a.py:3: function g of 41 lines")


SIGNATURE = "def f(a, b, c, d, e, *rest, g, h, i): ...\n"


def test_a_function_of_the_ops_with_too_many_parameters(tmp_path: Path) -> None:
    found = tree(tmp_path, {"xmcpipe/ops/cpu/a.py": SIGNATURE, "xmcpipe/data/a.py": SIGNATURE})
    assert found == ["xmcpipe/ops/cpu/a.py:1: function f of 9 parameters, expected at most 8"]
    method = "class A:\n    def f(self, a, b, c, d, e, g, h, i): ...\n"
    assert tree(tmp_path, {"xmcpipe/ops/cpu/a.py": method}) == []


@pytest.mark.parametrize(
    "text",
    [
        f'@torch.library.custom_op("a::b", mutates_args=())\n{SIGNATURE}',
        f"@operator.register_fake\n{SIGNATURE}",
        f"{SIGNATURE}operator.register_fake(f)\n",
    ],
)
def test_registered_functions_may_have_more_parameters(tmp_path: Path, text: str) -> None:
    assert tree(tmp_path, {"xmcpipe/ops/a.py": text}) == []


def test_an_import_cycle_through_a_function_and_a_type_check(tmp_path: Path) -> None:
    files = {
        "xmcpipe/a.py": "import numpy\nfrom xmcpipe import b\n",
        "xmcpipe/b.py": "def f():\n    from xmcpipe.c import D\n",
        "xmcpipe/c.py": "if TYPE_CHECKING:\n    import xmcpipe.a\n",
        "xmcpipe/outside.py": "import xmcpipe.a\n",
        "xmcpipe/__init__.py": "",
    }
    cycle = "import cycle xmcpipe.a -> xmcpipe.b -> xmcpipe.c -> xmcpipe.a, expected imports that go one way"
    assert tree(tmp_path, files) == [f"xmcpipe/a.py:2: {cycle}"]


@pytest.mark.parametrize("statement", ["from xmcpipe.data import NAME", "from . import NAME"])
def test_an_import_cycle_between_a_package_and_its_module(tmp_path: Path, statement: str) -> None:
    files = {
        "xmcpipe/data/__init__.py": "from xmcpipe.data.rows import Rows\n",
        "xmcpipe/data/rows.py": statement,
    }
    (found,) = tree(tmp_path, files)
    assert found.startswith("xmcpipe/data/__init__.py:1: import cycle xmcpipe.data -> xmcpipe.data.rows ->")


BLOCK = "".join(f"line{number} = {number}\n" for number in range(6))


def test_a_repeated_block_of_the_ops(tmp_path: Path) -> None:
    other = "import torch\n\n# a comment\nif x:\n" + "".join(
        f"\n    {line}" for line in BLOCK.replace(" = ", "   = ").splitlines(keepends=True)
    )
    found = tree(tmp_path, {"xmcpipe/ops/a.py": BLOCK, "xmcpipe/ops/cpu/b.py": other})
    assert found == ["xmcpipe/ops/cpu/b.py:6: 6 or more lines repeat xmcpipe/ops/a.py:1, expected one place"]
    assert tree(tmp_path, {"xmcpipe/ops/cpu/b.py": other.replace("line3", "other")}) == []


def test_imports_and_registered_signatures_may_repeat(tmp_path: Path) -> None:
    imports = "from a import (\n" + "".join(f"    name{number},\n" for number in range(7)) + ")\n"
    signature = "(\n" + "".join(f"    name{number}: int,\n" for number in range(7)) + "):\n    ...\n"
    operator = f"{imports}@torch.library.custom_op('a::b')\ndef f{signature}"
    fake = f"{imports}@f.register_fake\ndef _{signature}"
    assert tree(tmp_path, {"xmcpipe/ops/a.py": operator, "xmcpipe/ops/b.py": fake}) == []


CUDA = """#include "a.cuh"
// A comment with a brace: {
struct A { int x; };
namespace {
template <int N>
__device__ __forceinline__ int first(const A& a, int (*f)(int)) {
    const char* text = "}";
    for (;;) { return f(a.x); }
}
}  // namespace
constexpr int table[] = {1, 2};
extern "C" __global__ void __launch_bounds__(256)
second(int n
#if LOSS
       , int loss) {
#else
       ) {
#endif
}
"""


def test_functions_of_cuda_are_found_by_their_braces() -> None:
    assert [tuple(function) for function in cuda_functions(CUDA)] == [("first", 5, 9), ("second", 12, 19)]


def test_a_long_function_of_cuda(tmp_path: Path) -> None:
    function = "__global__ void f(int a) {\n" + "    a++;\n" * 39 + "}\n"
    expected = "function f of 41 lines, expected at most 40, or `// Long: REASON` directly above"
    assert tree(tmp_path, {"kernels/a.cu": function}) == [f"kernels/a.cu:1: {expected}"]
    assert tree(tmp_path, {"kernels/a.cu": "// Long: unrolled by hand\n" + function}) == []


def test_a_pointer_to_a_file_that_does_not_exist(tmp_path: Path) -> None:
    comment = "# see xmcpipe/data/gone.py, xmcpipe/a.py, kernels/NAME.cu and a/xmcpipe/b.py\n"
    found = tree(tmp_path, {"xmcpipe/a.py": comment, "tests/a.py": comment, "README.md": "docs/README.md"})
    assert found == [
        "README.md:1: points to docs/README.md, expected a file that exists",
        "xmcpipe/a.py:1: points to xmcpipe/data/gone.py, expected a file that exists",
    ]


def test_a_file_that_is_not_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").write_text("x = 1\n<<<<<<< HEAD\n", "utf-8")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "tests/a.py:2: invalid syntax, expected valid Python\n"


def test_the_command_prints_one_line_for_each_finding_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    tree(tmp_path, {"docs/long.py": "\n" * 301})
    assert main([str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.out == "docs/long.py:1: file of 301 lines, expected at most 300\n"
    assert output.err.startswith("1 finding")
