"""CSV and TSV as pandas, spreadsheets and competitions write them: columns, cells, numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused
from xmcpipe.data.label_lists.files import Role, read_label_lists
from xmcpipe.data.label_lists.lists import LabelLists


def read(folder: Path, text: str, role: Role = "predictions", name: str = "a.csv") -> LabelLists:
    (folder / name).write_text(text)
    return read_label_lists(folder / name, role)


IDS = [[3, 5], [], [0]]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_shows_what_is_between_columns(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = ["id,labels,scores", "x,3 5,0.9 0.5", "y,,", "z,0,0.25", ""]
    lists = read(tmp_path, "\n".join(rows).replace(",", delimiter), name=name)
    assert as_lists(lists) == IDS
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.9, 0.5, 0.25]
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["x", "y", "z"]
    assert lists.notes == ()


def test_the_line_of_excel_before_the_header(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "sep=;\nid;labels\nx;3,5\ny;\nz;0\n")) == IDS


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("labels;scores\na|b;0,9|0,5\n;\nc;2,5e-1\n", [0.9, 0.5, 0.25]),
        ("labels;scores\na b c;0,9 0,5 0,25\n", [0.9, 0.5, 0.25]),
        ('id,label,score\nx,a,"0,9"\nx,b,"0,5"\ny,c,"0,25"\n', [0.9, 0.5, 0.25]),
        ("labels;scores\na;0,9\nb;1\nc;0,25\n", [0.9, 1, 0.25]),
    ],
)
def test_decimal_commas_are_told_from_lists_by_the_labels(
    tmp_path: Path, text: str, scores: list[float]
) -> None:
    lists = read(tmp_path, text.replace("a b c", "[3 5 0]"))
    assert lists.scores is not None
    assert lists.scores.tolist() == scores
    assert any("'0,9' is read as 0.9" in note for note in lists.notes)


def test_numbers_between_commas_stay_numbers(tmp_path: Path) -> None:
    lists = read(tmp_path, 'labels,scores\n"3,5","2,1"\n"0,1","7,6"\n')
    assert lists.scores is not None
    assert lists.scores.tolist() == [2, 1, 7, 6]
    assert lists.notes == ()


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ("[np.int64(3), np.int64(5)]", "[np.float32(0.9), np.float32(0.5)]"),
        ("array([3, 5])", "array([0.9, 0.5], dtype=float32)"),
        ("array([3, 5], dtype=int32)", "np.array([0.9, 0.5])"),
        ("[3 5]", "[0.9 0.5]"),
        ("[3\n 5]", "[9.e-01 5.e-01]"),
        ("tensor([3, 5])", "tensor([0.9, 0.5], device='cuda:0')"),
        ("tensor([3, 5])", "tensor([0.9000, 0.5000], dtype=torch.float64, grad_fn=<TopkBackward0>)"),
        ("(3, 5)", "(0.9, 0.5)"),
        ("(np.int64(3), np.int64(5))", "(np.float64(0.9), np.float64(0.5))"),
        ("[3.0, 5.0]", "[0.9, 0.5]"),
        ("[3. 5.]", "[0.9, 0.5]"),
        ("3.0 5.0", "0.9 0.5"),
        ("[3, 5, nan]", "[0.9, 0.5]"),
        ("[3, 5, None]", "[0.9, 0.5]"),
    ],
)
def test_lists_as_numpy_and_torch_print_them(tmp_path: Path, labels: str, scores: str) -> None:
    lists = read(tmp_path, f'labels,scores\n"{labels}","{scores}"\n')
    assert as_lists(lists) == [[3, 5]]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.9, 0.5]
    assert lists.untyped is False or labels == "3.0 5.0"


@pytest.mark.parametrize(
    "cell",
    [
        "['a' 'b c']",
        "['a', 'b c']",
        "[np.str_('a'), np.str_('b c')]",
        "array(['a', 'b c'], dtype='<U3')",
        "array(['a', 'b c'], dtype=object)",
        "Index(['a', 'b c'], dtype='object')",
        "('a', 'b c')",
        '[""a"", ""b c""]',
        "['a', 'b c', nan]",
        "deque(['a', 'b c'])",
        "dict_keys(['a', 'b c'])",
    ],
)
def test_names_as_numpy_and_pandas_print_them(tmp_path: Path, cell: str) -> None:
    lists = read(tmp_path, f'labels\n"{cell}"\n"[]"\n')
    assert as_lists(lists) == [["a", "b c"], []]


@pytest.mark.parametrize("cell", ["{'a', 'b'}", "frozenset({'a', 'b'})", "set(['a', 'b'])"])
def test_sets_are_truths_and_no_rankings(tmp_path: Path, cell: str) -> None:
    lists = read(tmp_path, f'labels\n"{cell}"\nset()\n', "truth")
    assert list(map(sorted, as_lists(lists))) == [["a", "b"], []]
    refused(tmp_path / "a.csv", "row 0", "got a set", "a set has no order")


@pytest.mark.parametrize(
    ("cells", "rows"),
    [
        (["3:0.9 5:0.5", "", "0:0.25"], IDS),
        (["3:0.9;5:0.5", "", "0:0.25"], IDS),
        (["3::0.9,5::0.5", "", "0::0.25"], IDS),
        (["a:0.9, b:0.5", "", "c:0.25"], [["a", "b"], [], ["c"]]),
        (["x y:0.9;b:0.5", "", "c:0.25"], [["x y", "b"], [], ["c"]]),
        (["[('a', 0.9), ('b', 0.5)]", "[]", "[('c', 0.25)]"], [["a", "b"], [], ["c"]]),
        (["[(np.int64(3), np.float32(0.9)), (5, 0.5)]", "[]", "[(0, 0.25)]"], IDS),
        (["{'a': 0.9, 'b': 0.5}", "{}", "{'c': 0.25}"], [["a", "b"], [], ["c"]]),
        (["Counter({'a': 0.9, 'b': 0.5})", "Counter()", "OrderedDict([('c', 0.25)])"],
         [["a", "b"], [], ["c"]]),
        (["defaultdict(<class 'float'>, {'a': 0.9, 'b': 0.5})", "{}", "{'c': 0.25}"],
         [["a", "b"], [], ["c"]]),
        (['[{""label"": 3, ""score"": 0.9}, {""label"": 5, ""score"": 0.5}]', "[]",
          '[{""label"": 0, ""score"": 0.25}]'], IDS),
    ],
)  # fmt: skip
def test_labels_with_their_scores(tmp_path: Path, cells: list[str], rows: list[list[Any]]) -> None:
    lists = read(tmp_path, "id,labels\n" + "".join(f'{at},"{cell}"\n' for at, cell in enumerate(cells)))
    assert as_lists(lists) == rows
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.9, 0.5, 0.25]


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        ("id,labels", True),
        ("ID,Labels", True),
        ("ImageId,Labels", True),
        ("doc_id,labels", True),
        ("paper id,labels", True),
        ("uuid,labels", True),
        (",labels", False),
        ("valid,labels", False),
        ("label_id_text,labels", False),
    ],
)
def test_columns_of_ids_are_found_by_their_name(tmp_path: Path, header: str, ids: bool) -> None:
    lists = read(tmp_path, f"{header}\nx,3 5\ny,\nz,0\n")
    assert as_lists(lists) == IDS
    assert (lists.ids is not None) is ids


def test_rows_that_are_grouped_by_another_id_are_told(tmp_path: Path) -> None:
    lists = read(tmp_path, "user_id,label\nx,3\nx,5\ny,0\n", "truth")
    assert as_lists(lists) == [[3, 5], [0]]
    assert "rows of the same 'user_id' are read as one document" in lists.notes[0]
    assert read(tmp_path, "doc_id,label\nx,3\nx,5\ny,0\n", "truth").notes == ()


def test_blanks_around_ids_are_no_part_of_them(tmp_path: Path) -> None:
    lists = read(tmp_path, "id,labels\n x ,3\ny ,5\n")
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["x", "y"]


def test_ids_that_pandas_wrote_as_floats(tmp_path: Path) -> None:
    lists = read(tmp_path, "id,labels\n10.0,3\n11.0,5\n")
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["10", "11"]
    lists = read(tmp_path, "id,labels\n1.0,3\n1.1,5\n")
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["1.0", "1.1"]


def test_a_table_with_true_and_predicted_labels(tmp_path: Path) -> None:
    text = "id,labels,predictions\nx,3,5\ny,0,1\n"
    assert as_lists(read(tmp_path, text)) == [[5], [1]]
    assert as_lists(read(tmp_path, text, "truth")) == [[3], [0]]


def test_a_number_beside_a_truth_is_no_score(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "labels,score\n3 5,4.5\n0,2\n", "truth")) == [[3, 5], [0]]
    lists = read(tmp_path, "id,label,score\nx,3,1\nx,5,0\ny,0,1\n", "truth")
    assert as_lists(lists) == [[3], [0]]  # its relevance


def test_names_with_commas_in_a_row_per_label(tmp_path: Path) -> None:
    lists = read(tmp_path, 'id,label\nx,"Smith, John"\nx,art\ny,\n', "truth")
    assert as_lists(lists) == [["Smith, John", "art"], []]


def test_missing_values_of_pandas_are_no_labels(tmp_path: Path) -> None:
    lists = read(tmp_path, "id,labels\nx,a\ny,nan\nz,NaN\n")
    assert as_lists(lists) == [["a"], [], []]
    assert "'nan' is read as one without labels" in lists.notes[0]


@pytest.mark.parametrize(
    ("cells", "rows"),
    [
        (["GO:0008150;GO:0003674", "HP:0001250"], [["GO:0008150", "GO:0003674"], ["HP:0001250"]]),
        (["MESH:12;DOID:9", "MESH:7"], [["MESH:12", "DOID:9"], ["MESH:7"]]),
        (["a:b;c:d", "a:1"], [["a:b", "c:d"], ["a:1"]]),
    ],
)
def test_names_with_a_number_after_a_colon_have_no_score(
    tmp_path: Path, cells: list[str], rows: list[list[str]]
) -> None:
    lists = read(tmp_path, "labels\n" + "".join(f"{cell}\n" for cell in cells), "truth")
    assert (as_lists(lists), lists.grades) == (rows, None)


def test_lists_that_were_written_as_json_twice(tmp_path: Path) -> None:
    cells = (json.dumps(json.dumps(row)).replace('"', '""') for row in (["a", "b c"], []))
    lists = read(tmp_path, "labels\n" + "".join(f'"{cell}"\n' for cell in cells))
    assert as_lists(lists) == [["a", "b c"], []]


def test_names_with_brackets_are_names(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "labels\nf(x);C (language)\nf(y)\n", "truth")) == [
        ["f(x)", "C (language)"],
        ["f(y)"],
    ]


def test_scores_that_rise_with_the_rank_are_distances(tmp_path: Path) -> None:
    rows = "x,a,1,0.9\nx,b,2,0.5\ny,c,1,0.7\ny,a,2,0.1\n"
    assert as_lists(read(tmp_path, f"id,label,rank,score\n{rows}")) == [["a", "b"], ["c", "a"]]
    (tmp_path / "a.csv").write_text(
        f"id,label,rank,score\n{rows.replace('0.9', '0.2').replace('0.7', '0.05')}"
    )
    refused(tmp_path / "a.csv", "scores that fall with the rank", "distances?")


def test_blanks_between_names_are_told(tmp_path: Path) -> None:
    lists = read(tmp_path, "labels\nd f\na\nc e\nf\nnew york\n", "truth")
    assert as_lists(lists)[0] == ["d f"]
    assert lists.notes == ()
    lists = read(tmp_path, "labels\nd f\na\nf a\nf\n", "truth")
    assert "no separator was found, so that a cell is one label, such as 'd f'" in lists.notes[0]
    assert as_lists(read(tmp_path, 'labels\n"d\nf"\na\n', "truth")) == [["d", "f"], ["a"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,a\ny,b\n", ["in the first line, got 'x', 'a'"]),
        ("0,1\n0.5,0.25\n", ["got '0', '1'", ".npy"]),
        ("id,labels\nx,3,5\n", ["row 0: Expected 2 columns, got 3", "double quotes"]),
        ("id,labels,scores\nx,a\n", ["row 0: Expected 3 columns, got 2"]),
        ('id,labels\nx,"a\ny,b\n', ["line 2", "never closed"]),
        ("labels,Labels\na,b\n", ["2 columns are called 'labels'"]),
        ("user_id,post_id,labels\n1,2,a\n", ["one column of document ids, got 'user_id' and 'post_id'"]),
        ("labels\n['a']\nb\n['c']\n", ["row 1: expected a list as text", "'b'"]),
        ("labels\n[1 2 ... 8 9]\n", ["row 0", "items were left out"]),
        ('labels\n"[[3, 5]]"\n"[[0, 1]]"\n', ["a list in a list"]),
        ("labels,labels.1\na,b\n", ["2 columns are called 'labels'"]),
        ('labels, scores\n"3", "0,9"\n', ["without a blank before them"]),
        ("labels\n3 -1\n5 4\n", ["expected label ids from 0, got -1"]),
        ("labels,scores\na,90%\n", ["row 0: expected numbers as scores"]),
        ("labels;scores\na|b;0,9,0,5\n", ["more or fewer scores"]),
    ],
)
def test_tables_that_could_be_misread_are_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    refused(tmp_path / "a.csv", "a.csv", *words)
    with pytest.raises(Exception, match=r"a\.csv") as error:
        read_label_lists(tmp_path / "a.csv", "predictions")
    assert "--quotes" not in str(error.value)
