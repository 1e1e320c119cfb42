"""Extreme multi-label text classification with a fixed fan-in sparse output layer (SPARTEX).

    import xmcpipe

    model = xmcpipe.load("artifacts/model/...")                 # or a recipe
    model.predict("A plugin that adds spell checking", k=3)
    xmcpipe.XMCClassifier(frozen=True).fit(texts, labels)       # for scikit-learn
    xmcpipe.evaluate(predictions, truth).figures["P@1"]

docs/python.md explains these names, and `__init__.pyi` has their types. Importing this package loads nothing
heavy: a name is imported when it is first used, and torch, transformers and faiss by what needs them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> its module.
_PLACES = {
    "Model": "xmcpipe.api.model",
    "Prediction": "xmcpipe.inference.bundle",
    "XMCClassifier": "xmcpipe.api.classifier",
    "XmcpipeError": "xmcpipe.errors",
    "compare": "xmcpipe.metrics",
    "evaluate": "xmcpipe.metrics",
    "load": "xmcpipe.api.model",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
