"""Extreme multi-label text classification with a fixed fan-in sparse output layer (SPARTEX).

Importing this package imports nothing heavy: torch, transformers and faiss are loaded by the stage that uses
them.
"""

__version__ = "0.1.0"
