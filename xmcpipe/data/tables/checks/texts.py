"""Finds texts that are the print of something else than text, by the first documents."""

import logging
from pathlib import Path

import polars as pl

logger = logging.getLogger(__name__)

LOOKED_AT = 1000
QUOTES = "remove them (in CSV and TSV: --quotes double)"
# A pattern -> what texts with it are, and what to do.
PRINTS = {
    r"(?s)^\s*\{\s*[\"'].*\}\s*$": ("objects", "write their text alone"),
    r"(?s)^\s*\[.*\]\s*$": ("lists", "join their words"),
    r"(?s)^b(?:'.*'|\".*\")$": ("bytes as Python prints them", "decode them"),
    r"(?s)^\s*<(?:!doctype|html|body|p|div|br|h[1-6]|span|b|i)\b[^>]*>": ("HTML", "take the text out of it"),
    r"^\S+\.(?:txt|text|pdf|html?|xml|json|docx?)$": ("names of files", "write what is in the files"),
    r"^[0-9]+(?:[\s,]+[0-9]+)*$": ("numbers", "name the column of texts"),
    r'(?s)^\s*".*"\s*$': ("texts in double quotes", QUOTES),
}


def warn_of_odd_texts(path: Path, texts: pl.Series) -> None:
    """Warn if most of the first texts that aren't blank look like one of the PRINTS."""
    filled = texts.filter(texts != "").head(LOOKED_AT)
    for pattern, (what, way_out) in PRINTS.items():
        found = filled.filter(filled.str.contains(pattern))
        if len(found) > len(filled) / 2:
            message = "warning: %s: texts look like %s, such as %r: %s"
            logger.warning(message, path, what, found[0][:60], way_out)
            return
