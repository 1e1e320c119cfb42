"""No import cycle between the modules of xmcpipe.

Every import statement counts: at the top, in a function, under TYPE_CHECKING. `from package import name`
imports the module `package.name` if there is one, and otherwise `package`. So a package whose `__init__`
imports one of its modules, which in turn imports a name from the package, is a cycle.

import-linter's `acyclic_siblings` contract complements this rule. It compares packages next to each other: it
finds cycles between packages even if no two of their modules import each other, but no cycle between a
package and its own modules.
"""

import ast
from collections import deque

from tools.house_rules.files import Finding, Module

PACKAGE = "xmcpipe"
Imports = dict[str, dict[str, int]]  # module -> each module that it imports -> line of the import


def import_cycles(modules: list[Module]) -> list[Finding]:
    """The shortest import cycle through each module; each cycle is reported once."""
    paths = {_module_name(module.path): module.path for module in modules if _is_covered(module)}
    imports = {
        _module_name(module.path): _imported(module, paths) for module in modules if _is_covered(module)
    }
    found: dict[frozenset[str], Finding] = {}
    for name in sorted(imports):
        cycle = _shortest_cycle(name, imports)
        if cycle and frozenset(cycle) not in found:
            text = f"import cycle {' -> '.join(cycle)}, expected imports that go one way"
            found[frozenset(cycle)] = Finding(paths[name], imports[name][cycle[1]], text)
    return list(found.values())


def _is_covered(module: Module) -> bool:
    return module.path.startswith(f"{PACKAGE}/")


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(module: Module, known: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = _package(node, module.path)
            below = [f"{package}.{alias.name}" for alias in node.names]
            names = [name if name in known else package for name in below]
        else:
            continue
        for name in names:
            if name in known and name != _module_name(module.path):
                found.setdefault(name, node.lineno)
    return found


def _package(node: ast.ImportFrom, path: str) -> str:
    """The absolute name between `from` and `import`, in the module at `path`."""
    if node.level == 0:
        return str(node.module)
    folders = path.split("/")[: -node.level]  # one dot: the folder of the module itself
    return ".".join(folders + ([node.module] if node.module else []))


def _shortest_cycle(start: str, imports: Imports) -> list[str]:
    """The modules on the shortest path from `start` back to it, both ends included; [] if there is none."""
    before: dict[str, str] = {}  # breadth-first search: the module from which each was reached
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for imported in imports[name]:
            if imported == start:
                path = [start, name]
                while path[-1] != start:
                    path.append(before[path[-1]])
                return path[::-1]
            if imported not in before:
                before[imported] = name
                waiting.append(imported)
    return []
