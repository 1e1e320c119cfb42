"""Finds the store that an artifact is in: its folder is then where that store would write it."""

from xmcpipe.artifacts.store import Artifact, Store


def store_of(artifact: Artifact) -> Store | None:
    """The store that contains the artifact; None for a copy elsewhere."""
    path, manifest = artifact.path.resolve(), artifact.manifest
    if len(path.parents) < 2:
        return None
    store = Store(path.parents[1])
    return store if store.place(manifest.kind, manifest.fingerprint) == path else None
