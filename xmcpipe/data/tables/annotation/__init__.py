"""Exports of annotation tools: which of their rows are documents, and how they write labels."""
