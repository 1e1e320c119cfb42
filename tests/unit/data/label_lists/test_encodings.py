"""Text in other encodings, with other line ends, and files that are no text."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused
from xmcpipe.data.label_lists.files import read_label_lists

FILES = {
    "p.txt": "3:0.9 5:0.5\n\n0:0.25\n",
    "omikuji.txt": "3 0.900\t5 0.500\n\n0 0.250\n",
    "p.csv": "labels,scores\n3 5,0.9 0.5\n,\n0,0.25\n",
    "p.tsv": "labels\tscores\n3 5\t0.9 0.5\n\t\n0\t0.25\n",
    "p.jsonl": "".join(
        json.dumps({"labels": labels, "scores": scores}) + "\n"
        for labels, scores in (([3, 5], [0.9, 0.5]), ([], []), ([0], [0.25]))
    ),
}
NAMED = {
    "predict.txt": "__label__é 0.9 __label__b 0.5\n\n__label__c 0.25\n",
    "libml.txt": "é:0.9 b:0.5\n\nc:0.25\n",
    "p.csv": "labels,scores\né|b,0.9|0.5\n,\nc,0.25\n",
    "p.jsonl": '{"labels": ["é", "b"], "scores": [0.9, 0.5]}\n{"labels": [], "scores": []}\n'
    '{"labels": ["c"], "scores": [0.25]}\n',
}
ENCODED: dict[str, Callable[[str], bytes]] = {
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16BE": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR in UTF-16": lambda text: text.replace("\n", "\r").encode("utf-16"),
}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressed", [False, True])
def test_text_as_people_have_it(tmp_path: Path, kind: str, name: str, compressed: bool) -> None:
    content = ENCODED[kind](FILES[name])
    path = tmp_path / (name + ".gz" if compressed else name)
    path.write_bytes(gzip.compress(content) if compressed else content)
    lists = read_label_lists(path, "predictions")
    assert as_lists(lists) == [[3, 5], [], [0]]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.9, 0.5, 0.25]


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("name", NAMED)
def test_names_in_other_encodings(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(ENCODED[kind](NAMED[name]))
    lists = read_label_lists(tmp_path / name, "predictions")
    assert as_lists(lists) == [["é", "b"], [], ["c"]]


@pytest.mark.parametrize("name", [*FILES, "p.json"])
@pytest.mark.parametrize(
    ("codec", "shown"),
    [
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32-le", "UTF-32LE"),
        ("utf-32-be", "UTF-32BE"),
    ],
)
def test_utf_16_without_a_mark_is_named(tmp_path: Path, name: str, codec: str, shown: str) -> None:
    text = FILES.get(name, '[{"labels": [1]}]')
    (tmp_path / name).write_bytes(text.encode(codec))
    refused(tmp_path / name, shown, "byte order mark", f"iconv -f {shown} -t UTF-8 {name}")


@pytest.mark.parametrize("name", ["p.txt", "p.csv", "p.json"])
@pytest.mark.parametrize("codec", ["latin-1", "utf-16"])
def test_bytes_of_no_known_encoding_have_a_hint_that_eval_knows(
    tmp_path: Path, name: str, codec: str
) -> None:
    """`eval` has no option for the encoding."""
    content = ('[{"labels": ["été"]}]' if name == "p.json" else "labels\nété\n").encode(codec)
    (tmp_path / name).write_bytes(content if codec == "latin-1" else content[:-1])
    with pytest.raises(Exception, match="iconv -f LATIN1 -t UTF-8") as error:
        read_label_lists(tmp_path / name, "truth")
    assert "--encoding" not in str(error.value)


@pytest.mark.parametrize("name", ["p.txt", "p.csv", "p.json", "p.jsonl"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(b"0:1\n"), "gzip"),
        (b"\x28\xb5\x2f\xfd\x00\x00", "zstd"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04\x14\x00", "zip"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
    ],
)
def test_other_files_with_the_ending_of_text(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name, "expected text, got", what)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("p.pkl", ["never loaded"]),
        ("p.pt", ["never loaded", "tensor.numpy()"]),
        ("p.jsonl.zst", ["decompress"]),
        ("p.xlsx", [".csv or .parquet"]),
        ("p.npz.gz", ["expected .npz without .gz", "gunzip"]),
        ("p.labels", ["known formats", "end the name of another text file in .txt"]),
        ("p.libsvm", ["end its name in .svm"]),
    ],
)
def test_endings_that_are_not_read_have_a_way_out(tmp_path: Path, name: str, words: list[str]) -> None:
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path / name, name, *words)


def test_a_pickle_is_never_loaded_nor_advised(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "p.npy"
    path.write_bytes(pickle.dumps([1]))
    refused(
        path, "expected an array, got a pickle, which is never loaded", "save the table as Parquet or CSV"
    )
    for content in (b"", b"no pickle"):
        path.write_bytes(content)
        refused(path, "can't be read as an array of numbers", "pickles are never loaded")


def test_a_file_of_comments_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("#a some text\n#b other\n")
    refused(tmp_path / "t.txt", "only lines that begin with '#'", "sed 's/#/__label__/g'", role="truth")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('[{"labels": [3, 5]},\n {"labels": []}, {"labels": [0]}]', [[3, 5], [], [0]]),
        ('{\n "labels": [3, 5]\n}\n{\n "labels": []\n}\n', [[3, 5], []]),
        ("[]", []),
        ("", []),
    ],
)
@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.json.gz"])
def test_json_arrays_and_objects_of_several_lines(
    tmp_path: Path, text: str, rows: list[Any], name: str
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert as_lists(read_label_lists(tmp_path / name, "truth")) == rows
