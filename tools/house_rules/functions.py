"""Functions of at most 40 lines, and in xmcpipe/ops of at most 8 parameters.

A function's lines are counted from its `def` to its last line, with its docstring and nested functions,
without its decorators. A longer function needs a comment with the reason, whose first line begins with `#
Long: `, directly above the `def` or above the first decorator.

Parameters are everything that a caller can pass (`*args` and `**kwargs` count as one each), without `self`
and `cls`. Functions that torch.library registers are exempt, because torch derives an operator's schema from
a flat signature. Those are functions under a decorator of REGISTRATION and functions passed to one by name.
"""

import ast
from collections.abc import Iterator

from tools.house_rules.files import Finding, Module

MOST_LINES = 40
MOST_PARAMETERS = 8
FEW_PARAMETERS_IN = "xmcpipe/ops/"
REGISTRATION = ("custom_op", "register_fake", "register_kernel", "register_autograd")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods of a tree, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def has_reason(lines: list[str], line: int, comment: str = "#") -> bool:
    """Whether the comment directly above `line` (counted from 1) has a line `# Long: REASON`."""
    for above in reversed(lines[: line - 1]):
        text = above.strip()
        if text.startswith(f"{comment} Long: "):
            return True
        if not text.startswith(comment):
            return False
    return False


def too_long(path: str, line: int, name: str, length: int, comment: str = "#") -> Finding:
    expected = f"expected at most {MOST_LINES}, or `{comment} Long: REASON` directly above"
    return Finding(path, line, f"function {name} of {length} lines, {expected}")


def long_functions(module: Module) -> list[Finding]:
    found = []
    for function in functions(module.tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        starts = {function.lineno, min([function.lineno, *(each.lineno for each in function.decorator_list)])}
        if length > MOST_LINES and not any(has_reason(module.lines, start) for start in starts):
            found.append(too_long(module.path, function.lineno, function.name, length))
    return found


def many_parameters(module: Module) -> list[Finding]:
    if not module.path.startswith(FEW_PARAMETERS_IN):
        return []
    exempt = set(registered(module.tree))
    return [
        Finding(
            module.path,
            function.lineno,
            f"function {function.name} of {count} parameters, expected at most {MOST_PARAMETERS}",
        )
        for function in functions(module.tree)
        if function not in exempt and (count := num_parameters(function)) > MOST_PARAMETERS
    ]


def num_parameters(function: Function) -> int:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")]) + sum(
        each is not None for each in (arguments.vararg, arguments.kwarg)
    )


def registered(tree: ast.Module) -> Iterator[Function]:
    """The functions that torch.library registers, by a decorator or by a call with their name."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _registers(node.func))
    passed = {each.id for call in calls for each in call.args if isinstance(each, ast.Name)}
    for function in functions(tree):
        decorators = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
        if function.name in passed or any(_registers(each) for each in decorators):
            yield function


def _registers(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute | ast.Name) and _last_name(called) in REGISTRATION


def _last_name(called: ast.Attribute | ast.Name) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id
