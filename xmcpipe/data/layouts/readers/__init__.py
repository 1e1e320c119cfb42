"""Readers for the files of layouts: texts, label matrices, label names, filter pairs. They use polars."""
