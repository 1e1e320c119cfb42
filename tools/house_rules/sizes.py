"""Folders of at most 16 files, and files of at most 300 lines."""

from pathlib import Path

from tools.house_rules.files import CUDA, PYTHON, Finding, files, folders, sources

MOST_FILES = 16
MOST_LINES = 300


def crowded_folders(root: Path) -> list[Finding]:
    counts = {folder.relative_to(root).as_posix(): len(files(folder)) for folder in folders(root)}
    return [
        Finding(folder, 1, f"folder of {count} files, expected at most {MOST_FILES}")
        for folder, count in counts.items()
        if count > MOST_FILES
    ]


def long_files(root: Path) -> list[Finding]:
    return [
        Finding(source.path, 1, f"file of {len(source.lines)} lines, expected at most {MOST_LINES}")
        for source in sources(root, PYTHON + CUDA)
        if len(source.lines) > MOST_LINES
    ]
