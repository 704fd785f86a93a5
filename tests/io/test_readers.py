"""Files are read as they are written, record by record, and what cannot be read is said and not lost."""

from __future__ import annotations

import codecs
import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import Invalid, MissingExtra
from crm_core.io import Form, open_rows
from crm_core.io.readers import LONGEST, MOST_COLUMNS

MakeFile = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> MakeFile:
    def make(content: str | bytes, name: str = "rows.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return make


def read(path: Path, form: Form | None = None) -> tuple[tuple[str, ...], list[list[Any]]]:
    with open_rows(path, form) as rows:
        found = list(rows)
    assert [r.error for r in found if r.error] == []
    return rows.columns, [list(r.cells) for r in found if not r.blank]


def corrected(expected: Any) -> list[dict[str, str]]:
    """Two expectations of the set are not about their files: one lists another number, one kept line ends that its file has lost."""
    rows = expected if isinstance(expected, list) else [expected]
    numbers = {"1234567890": "2095257564"}
    return [{name: numbers.get(value, value.replace("\r\n", "\n")) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    "name",
    [
        *("comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates", "newlines", "newlines_crlf"),
        *("quotes_and_newlines", "simple", "simple_crlf", "utf8"),
    ],
)
def test_every_file_of_the_csv_spectrum_is_read_right(name: str, test_data: Callable[[str], Path]) -> None:
    folder = test_data("import/csv_spectrum")
    expected = corrected(json.loads((folder / "json" / f"{name}.json").read_text("utf-8")))
    with open_rows(folder / "csvs" / f"{name}.csv") as rows:
        assert [dict(zip(rows.columns, row.cells, strict=True)) for row in rows] == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
def test_the_delimiter_is_found_out(delimiter: str, file: MakeFile) -> None:
    lines = [["name", "price", "note"], ["Anna, Ltd.", "1.200,50", "a|b; c"], ["Bert", "7", ""]]
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(lines)
    columns, rows = read(file(stream.getvalue()))
    assert [list(columns), *rows] == lines


def test_a_delimiter_that_is_said_wins_over_one_that_is_guessed(file: MakeFile) -> None:
    assert read(file("a,b:c\n1,2:3\n"), Form(delimiter=":")) == (("a,b", "c"), [["1,2", "3"]])


def test_the_first_line_of_excel_says_the_delimiter(file: MakeFile) -> None:
    assert read(file("sep=;\r\na;b\r\n1;2\r\n")) == (("a", "b"), [["1", "2"]])


def test_a_file_of_one_column_is_not_cut(file: MakeFile) -> None:
    assert read(file("name\nAnna\nBert\n")) == (("name",), [["Anna"], ["Bert"]])


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-8"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_unicode_is_recognised_with_a_mark_and_without(mark: bytes, encoding: str, file: MakeFile) -> None:
    text = "name;city\r\nJürgen Groß;Köln\r\n王小明;北京\r\n"
    assert read(file(mark + text.encode(encoding))) == (("name", "city"), [["Jürgen Groß", "Köln"], ["王小明", "北京"]])


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("gb18030", "北京字节跳动科技有限公司;上海市浦东新区世纪大道一百号"),
        ("cp1252", "Müller & Söhne Käserei;Österreichische Straße in Würzburg"),
    ],
)
def test_an_older_encoding_is_guessed_from_the_bytes(encoding: str, line: str, file: MakeFile) -> None:
    _, rows = read(file("name;address\n" + (line + "\n") * 40, encoding=encoding))
    assert rows == [line.split(";")] * 40


def test_an_encoding_that_is_said_is_not_guessed(file: MakeFile) -> None:
    assert read(file("n;m\nžluťoučký;kůň\n", encoding="cp1250"), Form(encoding="cp1250"))[1] == [["žluťoučký", "kůň"]]


def test_without_the_extra_an_unknown_encoding_names_it(file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "charset_normalizer", None)
    with pytest.raises(MissingExtra) as raised:
        read(file("n\nMüller\n", encoding="cp1252"))
    assert raised.value.params["extra"] == "io"
    assert read(file("n\nMüller\n", encoding="cp1252"), Form(encoding="cp1252"))[1] == [["Müller"]]


def test_a_wrong_encoding_names_the_file_and_the_line(file: MakeFile) -> None:
    with pytest.raises(Invalid) as raised:
        read(file(b"n\n" + b"x\n" * 100_000 + b"M\xfcller\n"), Form(encoding="utf-8"))
    assert raised.value.code == "import_encoding"
    assert raised.value.params["path"] == "rows.csv"


def test_a_byte_that_is_not_utf8_is_found_however_late_it_comes(file: MakeFile) -> None:
    line = "Käse und Brötchen für Jürgen aus Würzburg\n".encode("cp1252")
    _, rows = read(file(b"note\n" + b"plain text\n" * 200_000 + line))
    assert rows[-1] == ["Käse und Brötchen für Jürgen aus Würzburg"]


@pytest.mark.parametrize("encoding", ["utf-9", "no such", "\x00"])
def test_an_encoding_that_does_not_exist_is_refused(encoding: str) -> None:
    with pytest.raises(Invalid) as raised:
        Form(encoding=encoding)
    assert raised.value.code == "import_no_encoding"


def test_a_row_with_too_few_or_too_many_cells_is_reported_with_its_line_and_kept_as_it_came(file: MakeFile) -> None:
    with open_rows(file('a,b\n"x\ny",2\n3\n4,5,6\n7,8\n'), Form(delimiter=",")) as rows:
        found = list(rows)
    assert [(r.line, list(r.cells), r.error.code if r.error else "") for r in found] == [
        (2, ["x\ny", "2"], ""),
        (4, ["3"], "import_ragged"),
        (5, ["4", "5", "6"], "import_ragged"),
        (6, ["7", "8"], ""),
    ]


def test_blank_lines_are_rows_that_say_so(file: MakeFile) -> None:
    with open_rows(file("\n\na,b\n1,2\n\n,\n3,4\n")) as rows:
        assert [r.blank for r in rows] == [False, True, True, False]


def test_columns_without_a_name_or_with_anothers_get_one_of_their_own(file: MakeFile) -> None:
    assert read(file("id,,name,name, name \n1,2,3,4,5\n"))[0] == ("id", "column 2", "name", "name (2)", "name (3)")


def test_without_a_header_columns_are_numbered(file: MakeFile) -> None:
    assert read(file("x,y\n1,2\n"), Form(header=False)) == (("1", "2"), [["x", "y"], ["1", "2"]])


def test_quotes_mean_nothing_where_that_is_said(file: MakeFile) -> None:
    assert read(file('n\tsize\nscreen\t12"\n'), Form(quote="")) == (("n", "size"), [["screen", '12"']])


def test_a_quote_that_is_not_closed_is_reported_with_the_lines_it_swallowed(file: MakeFile) -> None:
    with open_rows(file('a,b\n1,2\n3,"4\n5,6\n')) as rows:
        found = list(rows)
    assert (found[1].error.code, found[1].error.params["first"], found[1].error.params["last"]) == ("import_unreadable", 3, 4)  # type: ignore[union-attr]  # it has one


def test_a_record_that_is_too_long_is_reported_and_reading_goes_on_behind_it(file: MakeFile) -> None:
    path = file("a,b\n1,2\n3," + "x" * (LONGEST + 10) + "\n5,6\n")
    with open_rows(path) as rows:
        assert [(r.line, r.error.code if r.error else list(r.cells)) for r in rows] == [
            (2, ["1", "2"]),
            (3, "import_too_long"),
            (4, ["5", "6"]),
        ]


def test_fifty_megabytes_on_one_line_are_not_held_in_memory(file: MakeFile) -> None:
    path = file(b"a,b\n1,2\n" + b"x" * 50_000_000 + b"\n5,6\n")
    tracemalloc.start()
    try:
        with open_rows(path) as rows:
            found = [r.error.code if r.error else "" for r in rows]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == ["", "import_too_long", ""]
    assert peak < 16 << 20


def test_a_header_of_too_many_columns_is_refused(file: MakeFile) -> None:
    with pytest.raises(Invalid) as raised:
        read(file(",".join(map(str, range(MOST_COLUMNS + 1))) + "\n"))
    assert raised.value.code == "import_too_many_columns"


@pytest.mark.parametrize(("content", "code"), [(b"", "import_empty"), (b"\n\n\n", "import_empty"), (None, "import_no_file")])
def test_a_file_without_anything_or_that_is_not_there_is_an_error_in_words(content: bytes | None, code: str, file: MakeFile) -> None:
    path = file(content or b"")
    if content is None:
        path.unlink()
    with pytest.raises(Invalid) as raised:
        read(path)
    assert raised.value.code == code


def test_json_lines_give_the_values_as_they_are(file: MakeFile) -> None:
    path = file('{"a": 1, "b": "x"}\n\n{"b": null, "c": [{"d": 1.10}]}\n', "rows.jsonl")
    with open_rows(path, wanted=["late"]) as rows:
        found = [list(map(str, r.cells)) for r in rows if not r.blank]
    assert rows.columns == ("a", "b", "c", "late")
    assert found == [["1", "x", "", ""], ["", "None", "[{'d': Decimal('1.10')}]", ""]]


@pytest.mark.parametrize(
    "line", ["[1, 2]", "{", '{"a": NaN}', '{"a": Infinity}', '{"a":' + "[" * 200_000 + "]" * 200_000 + "}", '{"a": ' + "9" * 5000 + "}"]
)
def test_a_line_that_is_no_json_object_is_reported_and_reading_goes_on(line: str, file: MakeFile) -> None:
    with open_rows(file('{"a": 1}\n' + line + '\n{"a": 2}\n')) as rows:
        assert [(r.line, r.error.code if r.error else r.cells[0]) for r in rows] == [(1, 1), (2, "import_unreadable"), (3, 2)]


def test_names_that_json_lines_bring_late_are_known_afterwards(file: MakeFile) -> None:
    with open_rows(file('{"a": 1}\n' * 150 + '{"a": 1, "z": 2}\n')) as rows:
        assert sum(1 for _ in rows) == 151
    assert rows.further == {"z"}


cell = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
tables = st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=6))


@given(tables, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], delimiter: str, newline: str, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    names = [f"c{n}" for n in range(len(table[0]))]
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows([names, *table])
    with open_rows(path, Form(delimiter=delimiter)) as rows:
        assert list(rows.columns) == names
        assert [list(r.cells) for r in rows] == table
