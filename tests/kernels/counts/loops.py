"""Natural loops of a piece of code: the instructions from which a branch back to a header can be reached.

Cooper, Harvey and Kennedy, 2001, "A simple, fast dominance algorithm".
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Loop:
    """A loop; `parent` is the loop around it, `body` all its instructions, also those of inner loops."""

    header: int
    body: set[int]
    parent: "Loop | None" = None


def natural_loops(successors: Sequence[Sequence[int]]) -> list[Loop]:
    """The loops of code whose instruction i may be followed by successors[i]; outer loops come first."""
    order = _reverse_postorder(successors)
    predecessors: dict[int, list[int]] = {node: [] for node in order}
    for node in order:
        for after in successors[node]:
            predecessors[after].append(node)
    dominator = _dominators(order, predecessors)
    bodies: dict[int, set[int]] = {}
    for node in order:
        for header in successors[node]:
            if _dominates(dominator, header, node):
                bodies.setdefault(header, {header}).update(_body(predecessors, header, node))
    loops = sorted((Loop(header, body) for header, body in bodies.items()), key=lambda loop: -len(loop.body))
    for number, loop in enumerate(loops):
        around = [
            outer for outer in loops[:number] if loop.header in outer.body and outer.header != loop.header
        ]
        loop.parent = around[-1] if around else None
    return loops


def innermost(loops: Sequence[Loop], count: int) -> list[Loop | None]:
    """The innermost loop of each of `count` instructions."""
    out: list[Loop | None] = [None] * count
    for loop in loops:
        for node in loop.body:
            out[node] = loop
    return out


def _reverse_postorder(successors: Sequence[Sequence[int]]) -> list[int]:
    seen, order, stack = {0}, [], [(0, iter(successors[0]))]
    while stack:
        node, rest = stack[-1]
        after = next(rest, None)
        if after is None:
            order.append(node)
            stack.pop()
        elif after not in seen:
            seen.add(after)
            stack.append((after, iter(successors[after])))
    return order[::-1]


def _dominators(order: list[int], predecessors: dict[int, list[int]]) -> dict[int, int]:
    """The immediate dominator of each node that can be reached."""
    number = {node: i for i, node in enumerate(order)}
    dominator, changed = {order[0]: order[0]}, True
    while changed:
        changed = False
        for node in order[1:]:
            known = [each for each in predecessors[node] if each in dominator]
            new = known[0]
            for other in known[1:]:
                while new != other:
                    while number[new] > number[other]:
                        new = dominator[new]
                    while number[other] > number[new]:
                        other = dominator[other]
            if dominator.get(node) != new:
                dominator[node], changed = new, True
    return dominator


def _dominates(dominator: dict[int, int], header: int, node: int) -> bool:
    while node != header and dominator[node] != node:
        node = dominator[node]
    return node == header


def _body(predecessors: dict[int, list[int]], header: int, tail: int) -> set[int]:
    body, stack = {header}, [tail]
    while stack:
        node = stack.pop()
        if node not in body:
            body.add(node)
            stack += predecessors[node]
    return body
