"""The names of the losses, each with the place of its `Loss`: "module:OBJECT".

A recipe is checked against this table before torch is imported, which takes seconds.
"""

LOSSES: dict[str, str] = {
    "squared_hinge": "xmcpipe.ops.losses.squared_hinge:SQUARED_HINGE",
    "bce": "xmcpipe.ops.losses.bce:BCE",
}


def require_loss(name: str) -> None:
    """Raise ValueError unless the table has a loss called `name`."""
    if name not in LOSSES:
        raise ValueError(f"expected one of {', '.join(map(repr, LOSSES))}, got loss = {name!r}")
