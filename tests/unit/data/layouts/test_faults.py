"""Faulty files and folders: the error names the file and, if there is one, the line."""

from pathlib import Path

import pytest

from tests.layout_folders import (
    MAKERS,
    TEST,
    save_npz,
    write,
)
from tests.unit.data.layouts.documents import read, rows
from xmcpipe.data.layouts import LayoutOptions, detect_layout
from xmcpipe.errors import XmcpipeError

LABELLED = b'{"title": "a", "content": "", "target_ind": %s}'


@pytest.mark.parametrize(
    ("layout", "name", "data", "fault"),
    [
        ("pecos", "X.trn.txt", b"a\nb\n", r"X\.trn\.txt: expected 5 lines, as .*Y\.trn\.npz has rows, got 2"),
        ("pecos", "X.trn.txt", b"", r"X\.trn\.txt: expected 5 lines, .* got 0"),
        ("pecos", "output-items.txt", b"a\nb\n", r"output-items\.txt: expected 5 labels, .* got 2"),
        ("pecos", "Y.trn.npz", b"PK\x03\x04 cut", r"Y\.trn\.npz can't be read as a sparse matrix"),
        (
            "attentionxml",
            "test_labels.txt",
            b"a\n",
            r"texts\.txt: expected 1 lines, as .*test_labels\.txt has rows, got 2",
        ),
        ("x_y", "trn_X_Y.txt", b"5 5\n0:1\n", r"trn_X_Y\.txt: expected 5 rows, as its header states, got 1"),
        (
            "x_y",
            "tst_X_Y.txt",
            b"2 5\n0:1\n5:1\n",
            r"tst_X_Y\.txt: expected labels below 5, as its header states, got 5",
        ),
        (
            "x_y",
            "tst_X_Y.txt",
            b"2 5\n0:1\n1:1 2\n",
            r"tst_X_Y\.txt, line 3: expected pairs label:value, got '1:1 2'",
        ),
        ("x_y", "tst_X_Y.txt", b"0:1\n1:x\n", r"tst_X_Y\.txt, line 2"),
        (
            "x_y",
            "tst_X_Y.txt",
            b"0:1\n5:1\n",
            r"tst_X_Y\.txt: expected labels below 5, the number of names, got 5",
        ),
        (
            "x_y",
            "tst_X_Y.txt",
            b"2 6\n0:1\n1:1\n",
            r"tst_X_Y\.txt: expected 5 labels as in .*trn_X_Y\.txt, got 6",
        ),
        (
            "xc_raw",
            "tst.json.gz",
            LABELLED % b"[1, 5]",
            r"row 1: expected labels from 0 to 4 in target_ind, got \[1, 5\]",
        ),
        (
            "xc_raw",
            "tst.json.gz",
            LABELLED % b"[-1]",
            r"row 1: expected labels from 0 to 4 in target_ind, got \[-1\]",
        ),
        (
            "xc_raw",
            "tst.json.gz",
            LABELLED % b'["x"]',
            r"line 1: expected whole numbers in 'target_ind', got 'x'",
        ),
        ("xc_raw", "tst.json.gz", LABELLED % b"[1.5]", r"expected whole numbers in 'target_ind', got '1\.5'"),
        ("xc_raw", "tst.json.gz", LABELLED % b"1", r"expected a list in 'target_ind', got a number"),
        ("xc_raw", "tst.json.gz", b'{"title": "a", "content": ""}', r"expected a column 'target_ind'"),
        ("xc_raw", "lbl.json.gz", b'{"name": "a"}', r"lbl\.json\.gz: expected uid or title or content"),
    ],
)
def test_faults_are_named(tmp_path: Path, layout: str, name: str, data: bytes, fault: str) -> None:
    MAKERS[layout](tmp_path)
    write(next(tmp_path.rglob(name)), data)
    with pytest.raises(XmcpipeError, match=fault):
        rows(read(tmp_path))


def test_matrices_of_other_widths_are_refused(tmp_path: Path) -> None:
    MAKERS["xtransformer"](tmp_path)
    save_npz(tmp_path / "Y.tst.npz", TEST, width=7)
    with pytest.raises(XmcpipeError, match=r"Y\.tst\.npz: expected 5 labels as in .*Y\.trn\.npz, got 7"):
        read(tmp_path)


def test_folders_of_no_layout(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"expected a folder, but .* does not exist"):
        detect_layout(tmp_path / "absent")
    with pytest.raises(XmcpipeError, match="no dataset of a known layout"):
        detect_layout(tmp_path)
    for name in ("trn_X_Xf.txt", "eurlex_train.txt", "X.trn.npz"):
        write(tmp_path / name / name, b"")
        with pytest.raises(XmcpipeError, match=r"bags of words and no text .*PECOS mirrors"):
            detect_layout(tmp_path / name)
    MAKERS["pecos"](tmp_path / "pecos")
    next(tmp_path.rglob("Y.tst.npz")).unlink()
    with pytest.raises(
        XmcpipeError, match=r"expected also Y\.tst\.npz, because its other files are of layout pecos"
    ):
        detect_layout(tmp_path / "pecos")
    with pytest.raises(
        XmcpipeError, match=r"expected Y\.tst\.npz, which layout pecos requires, got no such file"
    ):
        read(tmp_path / "pecos", layout="pecos")
    with pytest.raises(XmcpipeError, match=r"unknown layout 'peco' .did you mean 'pecos'"):
        read(tmp_path / "pecos", layout="peco")
    for name in ("one", "two"):
        MAKERS["xc_raw"](tmp_path / "several" / name)
    with pytest.raises(XmcpipeError, match="holds more than one dataset"):
        read(tmp_path / "several")


def test_titles_only_needs_fields(tmp_path: Path) -> None:
    MAKERS["pecos"](tmp_path)
    with pytest.raises(XmcpipeError, match="expected documents with titles, got layout pecos"):
        read(tmp_path, LayoutOptions(titles_only=True))
