"""Checks and changes of columns of strings: words for a missing value, names that are written in two ways."""
