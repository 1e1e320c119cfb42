"""Extreme multi-label text classification with a fixed fan-in sparse output layer (SPARTEX).

Importing this package loads nothing heavy: torch, transformers and faiss are imported by the stages that use
them.
"""

__version__ = "0.1.0"
