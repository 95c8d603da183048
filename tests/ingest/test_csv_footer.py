"""What stands below a table, and further tables in one file, is told from the rows, and every line is accounted for."""

import datetime as dt
import io
from dataclasses import dataclass, field
from typing import Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import BadData
from gristmill.ingest import csv_table
from gristmill.ingest.csv_dialect import SECOND_HEADER
from gristmill.ingest.csv_footer import LONE, UNSURE
from gristmill.ingest.options import Limits
from tests.ingest.folder import Load

HEADER = "id,name,x\n"
ROWS = HEADER + "1,ada,0.5\n2,bob,1.5\n3,eve,2.5\n"
TABLE: dict[str, list[Any]] = {"id": [1, 2, 3], "name": ["ada", "bob", "eve"], "x": [0.5, 1.5, 2.5]}
FOOT = "{} lines at the end are no rows of the table (totals, notes): they are rejected as a footer"
OTHER = (
    "The file holds more than one table: {} lines after a blank line, of a table of {} columns at first, are rejected"
)


@dataclass(frozen=True)
class Case:
    text: str
    columns: dict[str, list[Any]] = field(default_factory=lambda: TABLE)
    rejected: list[tuple[int, int | None, str, str]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    dialect: dict[str, Any] = field(default_factory=dict)


def foot(*lines: tuple[int, str]) -> list[tuple[int, int | None, str, str]]:
    return [(number, None, "footer", text) for number, text in lines]


def other(*lines: tuple[int, str]) -> list[tuple[int, int | None, str, str]]:
    return [(number, None, "another table", text) for number, text in lines]


NAMES: dict[str, list[Any]] = {"name": ["ada", "Total"], "x": [5, 7]}
CASES = {
    "a total under names": Case(ROWS + "Total,,4.5\n", rejected=foot((5, "Total,,4.5")), warnings=[FOOT.format(1)]),
    "a total without a line end": Case(ROWS + "Total,,4.5", rejected=foot((5, "Total,,4.5"))),
    "a grand total, other case": Case(ROWS + ",GRAND TOTAL:,4.5\n", rejected=foot((5, ",GRAND TOTAL:,4.5"))),
    "a short total": Case(ROWS + "Summe\n", rejected=foot((5, "Summe"))),
    "total and mean": Case(ROWS + "Total,,4.5\nMean,,1.5\n", rejected=foot((5, "Total,,4.5"), (6, "Mean,,1.5"))),
    "a source": Case(ROWS + "Source: World Bank\n", rejected=foot((5, "Source: World Bank"))),
    "a source with commas": Case(
        ROWS + '"Note: in m, not km",,\nSource: a, b, c, d\n',
        rejected=foot((5, '"Note: in m, not km",,'), (6, "Source: a, b, c, d")),
    ),
    "rows of a database": Case(ROWS + "\n(3 rows affected)\n", rejected=foot((6, "(3 rows affected)"))),
    "notes after a blank line": Case(
        ROWS + "\nFigures are final\n\nAsk Ada, room 5\n",
        rejected=foot((6, "Figures are final"), (8, "Ask Ada, room 5")),
        dialect={"blank_lines": 2},
    ),
    "total, blank, source": Case(
        ROWS + ",,\nTotal,,4.5\n\nSource: shop\n", rejected=foot((5, ",,"), (6, "Total,,4.5"), (8, "Source: shop"))
    ),
    "windows line ends": Case(ROWS.replace("\n", "\r\n") + "Total,,4.5\r\n", rejected=foot((5, "Total,,4.5"))),
    "not sure of a name": Case("name,x\nada,5\nTotal,7\n", NAMES, warnings=[UNSURE]),
    "a short row is told": Case("name,x\nada,5\nbob\n", {"name": ["ada", "bob"], "x": [5, None]}, warnings=[LONE]),
    "a value after a blank line": Case("n,x\n1,2\n\n3\n", {"n": [1, 3], "x": [2, None]}, warnings=[LONE]),
    "rows after a blank line": Case(HEADER + "1,ada,0.5\n2,bob,1.5\n\n3,eve,2.5\n", dialect={"blank_lines": 1}),
    "a total that is not the last": Case(
        "name,x\nTotal,5\nada,7\n", {"name": ["Total", "ada"], "x": [5, 7]}, warnings=[]
    ),
    "told to leave out": Case(
        ROWS + "4,zed,3\n\n5,yan,4\n", options={"skip_footer": 2}, dialect={"footer_lines": 2, "blank_lines": 1}
    ),
    "told that there is none": Case(
        "n,x\n1,2\n3,4\nTotal,6\n", {"n": ["1", "3", "Total"], "x": [2, 4, 6]}, options={"skip_footer": 0}
    ),
    "a second table": Case(
        ROWS + "\nregion,sum\nnorth,4\nsouth,5\n",
        rejected=other((6, "region,sum"), (7, "north,4"), (8, "south,5")),
        warnings=[OTHER.format(3, 2)],
    ),
    "a wider one with a title, and a third": Case(
        ROWS + "\nTable 2\na,b,c,d\n1,2,3,4\n\nTable 3\ne,f\n5,6\n",
        rejected=other((6, "Table 2"), (7, "a,b,c,d"), (8, "1,2,3,4"), (10, "Table 3"), (11, "e,f"), (12, "5,6")),
        warnings=[OTHER.format(6, 4)],
    ),
    "a row of the first shape below the second": Case(
        HEADER + "1,ada,0.5\n2,bob,1.5\n\nq,r\n7,8\n3,eve,2.5\n",
        rejected=other((5, "q,r"), (6, "7,8")),
        warnings=[
            OTHER.format(2, 2),
            "1 rows below the beginning of another table have as many cells as this one's: they are read as its rows",
        ],
    ),
    "files put behind each other": Case(
        HEADER + "1,ada,0.5\n" + HEADER + "2,bob,1.5\n\n" + HEADER + "3,eve,2.5\n",
        rejected=[(3, None, "repeated header", "id,name,x"), (6, None, "repeated header", "id,name,x")],
        warnings=["The header comes 2 times more: these lines are rejected"],
    ),
    "other names of as many columns": Case(
        "a,b\n1,2\n\nc,d\n5,6\n",
        {"a": ["1", "c", "5"], "b": ["2", "d", "6"]},
        warnings=[
            "1 rows after a blank line look like the names of another table's columns: they and the rows below them "
            "are read as rows of this one"
        ],
    ),
    "comments between the rows": Case(
        HEADER + "1,ada,0.5\n# checked, by Bob\n2,bob,1.5\n##\n3,eve,2.5\n# the end\n",
        rejected=[
            (3, None, "comment", "# checked, by Bob"),
            (5, None, "comment", "##"),
            *foot((7, "# the end")),
        ],
        warnings=[FOOT.format(1), "2 lines between the rows are comments: they are rejected (comment says)"],
    ),
    "comments told": Case(
        HEADER + "1,ada,0.5\n# checked\n2,bob,1.5\n3,eve,2.5\n",
        options={"comment": "#"},
        dialect={"comment_lines": 1},
    ),
    "no comments told": Case(
        "name,x\nada,5\n# bob\neve,6\n", {"name": ["ada", "# bob", "eve"], "x": [5, None, 6]}, options={"comment": ""}
    ),
    "a number sign in a row": Case("name,x\n# 1,5\n#tag\neve,6\n", {"name": ["# 1", "#tag", "eve"], "x": [5, None, 6]}),
    "one column of number signs": Case("name\n# 1\n# 2\n", {"name": ["# 1", "# 2"]}),
    "a rule below the names": Case(
        HEADER + "--,----,---\n1,ada,0.5\n2,bob,1.5\n3,eve,2.5\n",
        rejected=[(2, None, "rule", "--,----,---")],
        warnings=["Line 2 is a rule below the names: it is rejected"],
    ),
    "a rule in one piece": Case(
        HEADER + "==========\n1,ada,0.5\n2,bob,1.5\n3,eve,2.5\n", rejected=[(2, None, "rule", "==========")]
    ),
    "nothing is no rule": Case("a,b\n--,--\n1,2\n", {"a": [None, 1], "b": [None, 2]}),
    "units below the names": Case(
        "t,temp,speed\nyyyy-mm-dd,°C,km/h\n2024-01-02,0.5,7\n2024-01-03,,9\n",
        {"t": [dt.date(2024, 1, 2), dt.date(2024, 1, 3)], "temp": [0.5, None], "speed": [7, 9]},
        rejected=[(2, None, "units", "yyyy-mm-dd,°C,km/h")],
        warnings=["Line 2 looks like the units of the columns: it is rejected (header_rows=2 joins it to the names)"],
    ),
    "units in brackets and a rule": Case(
        "name,w\n,[kg]\n----,----\nada,5\nbob,7\n",
        {"name": ["ada", "bob"], "w": [5, 7]},
        rejected=[(2, None, "units", ",[kg]"), (3, None, "rule", "----,----")],
    ),
    "units and names, joined": Case(
        "name,w\n,[kg]\nada,5\nbob,7\n", {"name": ["ada", "bob"], "w [kg]": [5, 7]}, options={"header_rows": 2}
    ),
    "a word above values is no unit": Case(
        "name,w\nada,low\nbob,5\neve,7\n",
        {"name": ["ada", "bob", "eve"], "w": ["low", "5", "7"]},
        warnings=[
            SECOND_HEADER,
            "column 2: 66.7 % of cells are numbers; it is kept as text",
        ],
    ),
    "letters of a column are no units": Case("sex,age\nm,\nf,5\nm,7\n", {"sex": ["m", "f", "m"], "age": [None, 5, 7]}),
    "a rule above the total": Case(
        ROWS + "---,---,---\nTotal,,4.5\n", rejected=foot((5, "---,---,---"), (6, "Total,,4.5"))
    ),
    "short rows after a blank line are no table": Case(
        "a,b,c\n1,2,3\n\n4,5\n6,7\n", {"a": [1, 4, 6], "b": [2, 5, 7], "c": [3, None, None]}, warnings=[]
    ),
    "two rows of names": Case(
        "id,2023,,2024,\n,q1,q2,q1,q2\n7,1,2,3,4\n",
        {"id": [7], "2023 q1": [1], "2023 q2": [2], "2024 q1": [3], "2024 q2": [4]},
        options={"header_rows": 2},
    ),
    "names and units, below a title": Case(
        "Tides\n\nt,v\ns,km\n1,5\n2,6\n3,7\n",
        {"t s": [1, 2, 3], "v km": [5, 6, 7]},
        options={"header_rows": 2},
        dialect={"preamble_lines": 1, "header": True},
    ),
    "three rows, ragged": Case(
        "a\n,b\nc,d,e\n1,2,3\n", {"a c": [1], "a b d": [2], "a b e": [3]}, options={"header_rows": 3}
    ),
}


@pytest.mark.parametrize("block", [20, 8 * 1024 * 1024])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_table(load: Load, case: Case, block: int) -> None:
    loaded = load(case.text.encode(), limits=Limits(block_bytes=block), **case.options)
    assert repr(loaded.frame.to_dict(as_series=False)) == repr(case.columns)
    assert loaded.rejected.rows() == case.rejected
    assert {name: loaded.dialect[name] for name in case.dialect} == case.dialect
    for warning in case.warnings:
        assert warning in loaded.ingested.warnings
    if not case.rejected and not case.warnings:
        assert not any("the end" in told or "last" in told for told in loaded.ingested.warnings)


BIG = "".join(f"{place},n{place},0.5\n" for place in range(40_000))


@pytest.mark.parametrize("block", [3_000, 50_000, 8 * 1024 * 1024])
def test_ends_of_a_file_of_many_blocks(load: Load, block: int) -> None:
    limits = Limits(block_bytes=block)
    loaded = load((HEADER + BIG + "\nTotal,,20000\nSource: shop\n").encode(), limits=limits)
    assert loaded.frame.height == 40_000
    assert loaded.frame.schema["id"] == pl.Int64
    assert loaded.rejected.rows() == foot((40_003, "Total,,20000"), (40_004, "Source: shop"))
    second = load((HEADER + BIG + "\nregion,sum\n" + "north,4\n" * 20_000).encode(), limits=limits)
    assert second.frame.height == 40_000
    assert second.rejected["reason"].unique().to_list() == ["another table"]
    assert second.rejected["line"].to_list() == list(range(40_003, 60_004))
    told = load((HEADER + BIG).encode(), limits=limits, skip_footer=100)
    assert (told.frame.height, told.ingested.rows_read, told.dialect["footer_lines"]) == (39_900, 39_900, 100)


LINES = ["1,2,3", "a,b,c", "u,v,w", "4,5,6", "", "", "x", "Total,,5", "Note: a", "a,b", "c,d", "7,8"]
LINES += ["p,q,r,s", "9,9,9,9", ",,"]


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=30), block=st.integers(1, 60))
def test_every_line_is_read_once_wherever_blocks_end(load: Load, lines: list[str], block: int) -> None:
    text = "a,b,c\n1,2,3\n1,2,3\n" + "".join(line + "\n" for line in lines)
    asked: dict[str, Any] = {"header": True, "delimiter": ",", "types": "text", "skip_lines": 0}
    with pytest.MonkeyPatch.context() as patch:
        # A footer is looked for in the same text, whatever the blocks are, as in any file of more than a few bytes.
        patch.setattr(csv_table, "FOOTER_BYTES", 40)
        patch.setattr(csv_table, "HELD_BLOCKS", 1000)
        whole = load(text.encode(), **asked)
        in_blocks = load(text.encode(), limits=Limits(block_bytes=block), **asked)
    assert whole.frame.equals(in_blocks.frame)
    assert whole.rejected.equals(in_blocks.rejected)
    assert whole.ingested.warnings == in_blocks.ingested.warnings
    assert whole.ingested.rows_read == 2 + sum(map(bool, lines))


def test_a_footer_counts_as_rejected(load: Load) -> None:
    with pytest.raises(BadData, match="1 for footer"):
        load((ROWS + "Total,,4.5\n").encode(), max_rejected=0)
    loaded = load((ROWS + "Total,,4.5\n").encode(), max_rejected=0, skip_footer=1)
    assert (loaded.ingested.rows_read, loaded.ingested.rows_rejected) == (3, 0)


def test_a_workbook_has_footers_and_rows_of_names(load: Load) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    rows: list[tuple[str | int | None, ...]] = [("id", 2023, None), (None, "q1", "q2"), (7, 1, 2), (8, 3, 4)]
    rows += [("Total", 4, 6), (), ("Source: shop",)]
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    loaded = load(file.getvalue(), "xlsx", header_rows=2)
    assert loaded.frame.to_dict(as_series=False) == {"id": [7, 8], "2023 q1": [1, 3], "2023 q2": [2, 4]}
    assert loaded.dialect["rejected"]["footer"] in (2, 3)


@pytest.mark.parametrize("rows", [4, 10])
def test_more_rows_of_names_than_there_are(load: Load, rows: int) -> None:
    with pytest.raises(BadData, match="header_rows"):
        load(b"a,b\n1,2\n", header_rows=rows)


def test_a_value_that_is_as_the_only_name_is_a_value(load: Load) -> None:
    loaded = load(b"word\nyes\nword\nno\n", header=True)
    assert loaded.frame.rows() == [("yes",), ("word",), ("no",)]
