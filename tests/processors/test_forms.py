"""Tables in formats for people and other programs hold what the Parquet ones do, and no formula if asked."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gristmill.errors import InvalidRequest
from gristmill.processors import run
from gristmill.processors.contract import decode_params
from tests.processors.folder import KINDS, columns_of, process

FRAME = pl.DataFrame(
    {
        "n": [1, None, 2**62],
        "x": [0.1, float("nan"), float("-inf")],
        "s": ["", None, 'a,"b"\n'],
        "flag": [True, None, False],
        "day": [date(2020, 2, 29), None, date(1, 1, 1)],
        "at": [datetime(2020, 1, 1, 1, 2, 3, 4, tzinfo=UTC), None, datetime(1960, 1, 1, tzinfo=UTC)],
        "long": [timedelta(days=1, microseconds=5), None, -timedelta(seconds=1)],
        "money": [Decimal("1.50"), None, Decimal("-3.00")],
        "list": [[1, 2], None, []],
        "struct": [{"a": 1.5, "b": ["=x"]}, None, {"a": None, "b": None}],
    }
)
STEPS = {"steps": [{"op": "fill_nulls", "strategy": "constant", "value": "-", "columns": ["s"]}]}
CSV = """n,x,s,flag,day,at,long,money,list,struct
1,0.1,"",true,2020-02-29,2020-01-01T01:02:03.000004+0000,P1DT0.000005S,1.50,"[1,2]","{""a"":1.5,""b"":[""=x""]}"
,NaN,-,,,,,,,
4611686018427387904,-inf,"a,""b""
",false,0001-01-01,1960-01-01T00:00:00.000000+0000,-PT1S,-3.00,[],"{""a"":null,""b"":null}"
"""


@pytest.mark.parametrize(("form", "suffix"), [("csv", "csv"), ("ndjson", "ndjson"), ("arrow", "arrow")])
@pytest.mark.parametrize("kind", ["normalize", "anomalies"])
def test_tables_are_named_and_counted_alike(kind: str, form: str, suffix: str, tmp_path: Path) -> None:
    params = STEPS if kind == "normalize" else {"method": "iqr", "columns": ["n"]}
    plain, _ = process(kind, FRAME, params, tmp_path / "plain", parts=2)
    shaped, folder = process(kind, FRAME, {**params, "output_format": form}, tmp_path / form, parts=2)
    assert (shaped.rows_in, shaped.rows_out, shaped.columns) == (plain.rows_in, plain.rows_out, plain.columns)
    tables = ["part-00000", "part-00001"] if kind == "normalize" else ["anomalies"]
    found = [name for name in folder.contents if not name.endswith(".json")]
    assert found == [f"{name}.{suffix}" for name in tables]


def test_csv_is_as_it_says(tmp_path: Path) -> None:
    _, folder = process("normalize", FRAME, {**STEPS, "output_format": "csv"}, tmp_path)
    assert folder.contents["part-00000.csv"].decode() == CSV


def test_arrow_and_ndjson_come_back(tmp_path: Path) -> None:
    wanted = FRAME.with_columns(pl.col("s").fill_null("-"))
    _, folder = process("normalize", FRAME, {**STEPS, "output_format": "arrow"}, tmp_path / "arrow")
    assert_frame_equal(pl.read_ipc(folder.path / "part-00000.arrow"), wanted)
    _, folder = process("normalize", FRAME, {**STEPS, "output_format": "ndjson"}, tmp_path / "ndjson")
    found = pl.read_ndjson(folder.path / "part-00000.ndjson")
    same = ["n", "s", "flag", "list", "struct"]
    assert_frame_equal(found.select(same), wanted.select(same))
    assert found["x"].to_list() == [0.1, None, None]
    assert found["money"].to_list() == ["1.50", None, "-3.00"]


def test_what_looks_like_a_formula_is_guarded_and_nothing_else(tmp_path: Path) -> None:
    cells = ["=1+1", "+1", "-2", "@x", "\t=1", "\r1", "\n1", "  =1", "\uff1dcmd", "a=1", "'=1", "", None, "1-2"]
    guarded = [f"'{cell}" for cell in cells[:9]] + cells[9:]
    frame = pl.DataFrame({"=n": range(len(cells)), "'=n": -1, "s": cells}).with_columns(
        c=pl.col("s").cast(pl.Categorical)
    )
    for guard, wanted in ((True, guarded), (False, cells)):
        params = {"steps": [{"op": "drop_duplicates"}], "output_format": "csv", "formula_guard": guard}
        _, folder = process("normalize", frame, params, tmp_path / str(guard))
        back = pl.read_csv(folder.path / "part-00000.csv")
        assert back.columns == (["''=n", "'=n", "s", "c"] if guard else ["=n", "'=n", "s", "c"])
        assert back["s"].to_list() == back["c"].to_list() == wanted
        assert back["'=n"].to_list() == [-1] * len(cells), "a number is no formula"


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"output_format": "csv"}, "/params/output_format"),
        ({"output_format": "ndjson"}, "/params/output_format"),
        ({"output_format": "arrow", "formula_guard": True}, "/params/formula_guard"),
    ],
)
def test_what_can_not_be_written_is_told_before_anything_runs(params: dict[str, object], pointer: str) -> None:
    frame = pl.DataFrame({"n": [1], "bytes": [[b"x"]]})
    given = decode_params(KINDS["normalize"], msgspec.json.encode({"steps": [{"op": "drop_duplicates"}], **params}))
    with pytest.raises(InvalidRequest) as caught:
        run.planned(KINDS["normalize"], columns_of(frame), given, {})
    assert [fault.pointer for fault in caught.value.errors] == [pointer]
