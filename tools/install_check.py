"""Install the wheel of a folder in an empty environment, and use it: `python -m tools.install_check dist`.

Everything runs outside the checkout, so that no file of it is read instead of one of the wheel. `--no-deps`
installs the wheel alone, and takes the libraries of the environment that runs this command.
"""

import argparse
import os
import subprocess
import sysconfig
import tempfile
import venv
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
# What a user does first; each must succeed.
COMMANDS = (
    "xmcpipe --version",
    "xmcpipe --help",
    "xmcpipe keys train.head",
    "xmcpipe kernels list",
    "python -m xmcpipe init --help",
)
PROGRAM = """
import xmcpipe, xmcpipe.serving
from pathlib import Path
from xmcpipe.recipe import load, packaged_recipes
package = Path(xmcpipe.__file__).parent
assert package.is_relative_to({environment!r}), package
assert load("quickstart").name == "quickstart" and len(packaged_recipes()) > 10
for file in ("py.typed", "serving/page/index.html", "report/page/page.js", "_kernels", "_pipelines"):
    assert (package / file).exists(), file
assert xmcpipe.evaluate([["a", "b"]], [["a"]], k=(1,)).figures["P@1"] == 1.0
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-deps", action="store_true", help="install no libraries")
    options = parser.parse_args()
    (wheel,) = options.folder.glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="xmcpipe-install-") as name:
        environment = Path(name).resolve() / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS)]
        subprocess.run([*install, *["--no-deps"] * options.no_deps, str(wheel.resolve())], check=True)
        if options.no_deps:
            borrowed = sysconfig.get_paths()["purelib"]
            place = next(environment.glob("lib/python*/site-packages"))
            (place / "borrowed.pth").write_text(borrowed + "\n")
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        variables["PATH"] = f"{environment / 'bin'}{os.pathsep}{variables['PATH']}"
        variables["XMCPIPE_CACHE"] = str(Path(name, "cache"))
        program = PROGRAM.format(environment=str(environment))
        for command in ([str(python), "-c", program], *(command.split() for command in COMMANDS)):
            subprocess.run(command, check=True, cwd=name, env=variables, stdout=subprocess.DEVNULL)
    print(f"{wheel.name}: installed in an empty environment, {len(COMMANDS)} commands and the import work")


if __name__ == "__main__":
    main()
