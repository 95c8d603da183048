"""Files as spreadsheets, databases and people write them become the table a reader sees in them."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.errors import BadData
from gristmill.ingest.csv_dialect import IN_WORDS, PERIODS_ABOVE, find_shape
from gristmill.ingest.csv_records import Dialect, records
from gristmill.ingest.options import IngestOptions, Limits
from tests.ingest.folder import Load


@dataclass(frozen=True)
class Case:
    text: str
    columns: dict[str, list[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    dialect: dict[str, Any] = field(default_factory=dict)
    rejected: list[tuple[int, int | None, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


TABLE: dict[str, list[Any]] = {"id": [1, 2, 3], "name": ["ada", "bob", "eve"], "x": [0.5, 1.5, 2.5]}
ROWS = "id,name,x\n1,ada,0.5\n2,bob,1.5\n3,eve,2.5\n"
LEFT_OUT = "{} lines before the table (a title, notes) are left out"
CASES = {
    "carets": Case(ROWS.replace(",", "^"), TABLE, dialect={"delimiter": "^"}),
    "tildes": Case(ROWS.replace(",", "~"), TABLE, dialect={"delimiter": "~"}),
    "two pipes": Case(ROWS.replace(",", "||"), TABLE, dialect={"delimiter": "||"}),
    "two colons": Case(ROWS.replace(",", "::"), TABLE, dialect={"delimiter": "::"}),
    "two pipes and an empty cell": Case("a||b||c\n1||||3\n", {"a": [1], "b": [None], "c": [3]}),
    "two pipes and quotes": Case('a||b\n"x||y"||1\n"z"||2\n', {"a": ["x||y", "z"], "b": [1, 2]}, {"delimiter": "||"}),
    "a long delimiter told": Case("a<->b\n1<->2\n", {"a": [1], "b": [2]}, {"delimiter": "<->"}),
    "spaces told": Case("a b\n1 2\n", {"a": [1], "b": [2]}, {"delimiter": " "}),
    "sep line": Case("sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}, dialect={"delimiter": ";", "preamble_lines": 1}),
    "sep line with an odd sign": Case("sep=:\na:b\n1:2\n", {"a": [1], "b": [2]}, dialect={"delimiter": ":"}),
    "times are no cells": Case("time,x\n10:30,1\n11:45,2\n", {"time": ["10:30", "11:45"], "x": [1, 2]}),
    "apostrophes": Case("a,b\n'x, y','z'\n'it','w'\n", {"a": ["x, y", "it"], "b": ["z", "w"]}, dialect={"quote": "'"}),
    "apostrophes in words": Case("a,b\nit's,1\ndon't,2\n", {"a": ["it's", "don't"], "b": [1, 2]}),
    "backslash before quotes": Case(
        'a,b\n"he said \\"hi, you\\"",1\n"back\\\\slash",2\n"C:\\new",3\n',
        {"a": ['he said "hi, you"', "back\\slash", "C:\\new"], "b": [1, 2, 3]},
        dialect={"escape": "\\"},
    ),
    "backslash at the end of a doubled-quote cell": Case(
        'a,b\n"C:\\",1\n"say ""x""",2\n', {"a": ["C:\\", 'say "x"'], "b": [1, 2]}, dialect={"escape": None}
    ),
    "backslash told": Case('a,b\n"x\\"",1\n', {"a": ['x"'], "b": [1]}, {"escape": "\\"}),
    "title and blank line": Case(
        "Sales report\n\n" + ROWS, TABLE, dialect={"preamble_lines": 1, "blank_lines": 1}, warnings=[LEFT_OUT.format(1)]
    ),
    "title of padded cells": Case("Report 2024,,\n,,\n" + ROWS, TABLE, dialect={"preamble_lines": 2}),
    "title and a date": Case("Report,2024\n\n" + ROWS, TABLE, dialect={"preamble_lines": 1}),
    "two names of three": Case("a,b,\nx,y,z\n1,2,3\n", {"a": ["x", "1"], "b": ["y", "2"], "column_3": ["z", "3"]}),
    "title, notes": Case("Sales\nsource: shop\n" + ROWS, TABLE, warnings=[LEFT_OUT.format(2)]),
    "lines count from the file's first": Case(
        "Sales\n\n" + ROWS + "4,x,1,2\n", TABLE, rejected=[(7, 4, "extra cells", "4,x,1,2")]
    ),
    "comments": Case("# made by a machine\n# on a day\n" + ROWS, TABLE, dialect={"preamble_lines": 2}),
    "a header that looks like a comment": Case("# made\n#id,x\n1,2\n3,4\n", {"#id": [1, 3], "x": [2, 4]}),
    "rows that look like comments": Case("a,b\n#1,2\n#3,4\n", {"a": ["#1", "#3"], "b": [2, 4]}),
    "comments told": Case(
        "# it's \"one\na,b\n1,2\n#3,4\n5,6\n#",
        {"a": [1, 5], "b": [2, 6]},
        {"comment": "#"},
        dialect={"comment_lines": 2},
    ),
    "lines told": Case("x,y\nz,w\na,b\n1,2\n", {"a": [1], "b": [2]}, {"skip_lines": 2}, dialect={"preamble_lines": 2}),
    "no lines told": Case("Sales\n\na,b\n1,2\n", {"Sales": ["a,b", "1,2"]}, {"skip_lines": 0, "delimiter": ";"}),
    "one column with commas": Case("name\nSmith, J\nDoe, A\nRoe, R\n", {"name": ["Smith, J", "Doe, A", "Roe, R"]}),
    "one column of addresses": Case(
        "address\n1 Main St, Ames, IA\n2 Oak St, Ames, IA\n", {"address": ["1 Main St, Ames, IA", "2 Oak St, Ames, IA"]}
    ),
    "half a header": Case("a,,,\n1,2,3,4\n", {"a": [1], "column_2": [2], "column_3": [3], "column_4": [4]}),
    "a sentence as title": Case(
        "Made by the tool, version 3, on Monday\nid,name,x,y\n1,a,2,3\n4,b,5,6\n",
        {
            "id": [1, 4],
            "name": ["a", "b"],
            "x": [2, 5],
            "y": [3, 6],
        },
        warnings=[LEFT_OUT.format(1)],
    ),
    "more notes than rows": Case(
        "Station 17\nMade: by Ann\nStart: 10:00\nInterval: 10 s\n\nData:\nid;name;x\n1;a;0,5\n2;b;1,5\n",
        {"id": [1, 2], "name": ["a", "b"], "x": [0.5, 1.5]},
        dialect={"delimiter": ";", "preamble_lines": 5},
    ),
    "the same table twice, with titles": Case(
        "Table 1\n" + ROWS + "\nTable 2\n" + ROWS,
        {"id": [1, 2, 3] * 2, "name": ["ada", "bob", "eve"] * 2, "x": [0.5, 1.5, 2.5] * 2},
        rejected=[(7, None, "repeated header", "Table 2"), (8, None, "repeated header", "id,name,x")],
    ),
    "files behind each other with their marks": Case(
        "\ufeffa,b\n1,2\n\ufeffa,b\n3,4\n",
        {"a": [1, 3], "b": [2, 4]},
        rejected=[(3, None, "repeated header", "\ufeffa,b")],
    ),
    "quotes after spaces": Case(
        'id, "name", note\n1, "x, y", z\n2, "w", v\n',
        {"id": [1, 2], "name": ["x, y", "w"], "note": ["z", "v"]},
        warnings=["Quotes stand after a space: spaces at the beginning of cells are left out"],
    ),
    "two pipes and one in a cell": Case(
        "a||b\n1||x\n2||y|z\n3||w\n4||v\n5||u\n",
        {"a": [1, 2, 3, 4, 5], "b": ["x", "y|z", "w", "v", "u"]},
        dialect={"delimiter": "||"},
    ),
    "a NUL in a short text": Case("id,name\n1,a\0b\n2,c\n", {"id": [1, 2], "name": ["a\0b", "c"]}),
    "words in rows": Case("id x\n1 2\n3 4\n", {"id x": ["1 2", "3 4"]}, warnings=[IN_WORDS]),
    "words in sentences": Case("say\nto be 1\nor not\n", {"say": ["to be 1", "or not"]}, dialect={"delimiter": None}),
    "years as names": Case(
        "country,2019,2020\nFrance,1.5,2\nSpain,4.5,5\n",
        {"country": ["France", "Spain"], "2019": [1.5, 4.5], "2020": [2, 5]},
        warnings=[PERIODS_ABOVE],
    ),
    "years as names below a title": Case(
        "Population\ncountry,2019,2020\nFrance,15,2\nSpain,45,5\n",
        {"country": ["France", "Spain"], "2019": [15, 45], "2020": [2, 5]},
    ),
    "years as names, and a number that looks like one": Case(
        "country,2019,2020\na,15,2\nb,45,2015\nc,1,2\n",
        {"country": ["a", "b", "c"], "2019": [15, 45, 1], "2020": [2, 2015, 2]},
    ),
    "years and nothing else": Case("2020,2019,2018\n1,2,3\n4,5,6\n", {"2020": [1, 4], "2019": [2, 5], "2018": [3, 6]}),
    "months as names, with an empty corner": Case(
        ",01.2024,02.2024\na,1,2\nb,3,4\n", {"column_1": ["a", "b"], "01.2024": [1, 3], "02.2024": [2, 4]}
    ),
    "days as names": Case(
        "item,2024-01-31,2024-02-29\na,1,2\nb,3,4\n", {"item": ["a", "b"], "2024-01-31": [1, 3], "2024-02-29": [2, 4]}
    ),
    "years as values": Case(
        "France,2019,2020\nSpain,2018,2021\n",
        {"column_1": ["France", "Spain"], "column_2": [2019, 2018], "column_3": [2020, 2021]},
    ),
    "numbers of no step": Case(
        "x,2019,2031,2020\ny,4,5,6\n",
        {"column_1": ["x", "y"], "column_2": [2019, 4], "column_3": [2031, 5], "column_4": [2020, 6]},
    ),
    "one year": Case("x,2019\ny,4\n", {"column_1": ["x", "y"], "column_2": [2019, 4]}),
    "numbers without a header": Case("1,2\n3,4\n", {"column_1": [1, 3], "column_2": [2, 4]}),
    "units below the names": Case(
        "t,v\ns,km\n1,5\n2,6\n3,7\n",
        {"t": [1, 2, 3], "v": [5, 6, 7]},
        rejected=[(2, None, "units", "s,km")],
        warnings=["Line 2 looks like the units of the columns: it is rejected (header_rows=2 joins it to the names)"],
    ),
    "short last row": Case(
        ROWS + "Zoe\n",
        {"id": ["1", "2", "3", "Zoe"], "name": ["ada", "bob", "eve", None], "x": [0.5, 1.5, 2.5, None]},
    ),
}


@pytest.mark.parametrize("block", [9, 8 * 1024 * 1024])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_table(load: Load, case: Case, block: int) -> None:
    loaded = load(case.text.encode(), limits=Limits(block_bytes=block), **case.options)
    assert repr(loaded.frame.to_dict(as_series=False)) == repr(case.columns)
    assert {name: loaded.dialect[name] for name in case.dialect} == case.dialect
    assert loaded.rejected.rows() == case.rejected
    if case.warnings:
        assert list(loaded.ingested.warnings) == case.warnings


FRAGMENTS = ["a", "1", ",", "||", "|", "\n", "\n", "\r\n", '"', "'", "\\", '\\"', "#", "é", " ", "1,2,3\n", "x||y\n"]
text_of_fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=50).map("".join).map(str.encode)
DIALECTS = [
    Dialect(b"||", b'"', 1024),
    Dialect(b",", b'"', 1024, escape=b"\\"),
    Dialect(b",", b"'", 1024, comment=b"#"),
]


@settings(max_examples=300, deadline=None)
@given(text=text_of_fragments, dialect=st.sampled_from(DIALECTS), cut=st.integers(0, 200))
def test_records_cover_the_text_wherever_it_is_cut(text: bytes, dialect: Dialect, cut: int) -> None:
    whole = list(records(text, 0, dialect, final=True))
    assert b"".join(text[record.start : record.end] for record in whole) == text
    first = list(records(text[:cut], 0, dialect, final=False))
    assert first == whole[: len(first)]


@settings(max_examples=100, deadline=None)
@given(
    text=text_of_fragments,
    block=st.integers(1, 40),
    options=st.sampled_from([{"delimiter": "||"}, {"escape": "\\"}, {"comment": "#"}, {"quote": "'"}]),
)
def test_rows_are_conserved_in_any_dialect(load: Load, text: bytes, block: int, options: dict[str, Any]) -> None:
    good = b"a||b\n1||2\n" if "delimiter" in options else b"a,b\n1,2\n"
    given_ = {"header": True, "delimiter": ",", "types": "text", "skip_lines": 0, "skip_footer": 0, **options}
    whole = load(good + text, **given_)
    in_blocks = load(good + text, limits=Limits(block_bytes=block), **given_)
    assert whole.frame.equals(in_blocks.frame)
    assert whole.rejected.equals(in_blocks.rejected)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(alphabet='ab|"\\\n,', max_size=5), min_size=2, max_size=2), min_size=1, max_size=8))
def test_escaped_cells_come_back(load: Load, rows: list[list[str]]) -> None:
    def written(cell: str) -> str:
        return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = '"x"||"y"\n' + "".join("||".join(map(written, row)) + "\n" for row in rows)
    loaded = load(text.encode(), delimiter="||", escape="\\", quote='"', header=True, types="text", skip_footer=0)
    assert loaded.frame.rows() == [tuple(cell or None for cell in row) for row in rows]
    assert loaded.rejected.height == 0


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=120) | text_of_fragments)
@example(b"")
@example(b"#")
@example(b"sep=\n")
@example(b"sep=,")
@example(b"\n\n\n")
@example(b'"')
@example(b'\\"\\"')
@example(b"||\n||")
@example(b",,,\n,,,\na,b,c,d\n")
@example(b"\xff\xfe\n\xff")
def test_any_bytes_have_a_shape_or_a_clear_problem(text: bytes) -> None:
    try:
        shape = find_shape(text, IngestOptions(), Limits(), whole=True)
    except BadData:
        return
    assert 0 <= shape.rows_start <= len(text)
    assert shape.width >= 1
    assert shape.header is None or len(shape.header) == shape.width


@pytest.mark.parametrize(
    "wrong",
    [
        {"quote": "xy"}, {"escape": "é"}, {"comment": "\n"}, {"delimiter": ""}, {"delimiter": "123456789"},
        {"delimiter": "a\n"}, {"delimiter": ',"', "quote": '"'}, {"escape": '"', "quote": '"'}, {"skip_lines": -1},
        {"skip_footer": -1}, {"skip_footer": 101}, {"header_rows": 0}, {"header_rows": 2, "header": False},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, IngestOptions)
