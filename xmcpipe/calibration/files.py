"""The names of the files of a calibration. This module imports nothing heavy: the command line reads it."""

from pathlib import Path

FACTS, TABLE = "calibration.json", "calibration.parquet"
FILES = (FACTS, TABLE)


def has_calibration(folder: Path) -> bool:
    """Whether there is one in `folder`."""
    return (folder / FACTS).is_file()
