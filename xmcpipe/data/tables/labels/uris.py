"""URIs as names of labels: Annif and N-Triples write `<uri>`, other programs leave the brackets away."""

import polars as pl

URI = r"[A-Za-z][A-Za-z0-9+.-]*:[^<>\s]+"


def bare_uris(names: pl.Series) -> pl.Series:
    """Names, string [n] or list<string> [n], with those of the form `<uri>` without brackets."""
    if isinstance(names.dtype, pl.List):
        return names.list.eval(pl.element().str.replace(f"^<({URI})>$", "$1"))
    return names.str.replace(f"^<({URI})>$", "$1")


def has_uris(names: pl.Series) -> bool:
    """Whether some of the names, string [n], are URIs, with or without brackets."""
    return bool(names.str.contains(f"^<?{URI}>?$").any())
