"""Params and columns that do not fit are refused before any data is read, and each fault points at its place."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import msgspec
import polars as pl
import pytest

from gristmill.errors import InvalidRequest
from gristmill.processors import describe
from gristmill.processors.contract import decode_params
from tests.processors.folder import KINDS, columns_of

FRAME = pl.DataFrame(
    {"n": [1], "f": [0.5], "s": ["x"], "b": [True], "d": [date(2024, 1, 1)]}, schema_overrides={"n": pl.Int8}
)


def recipe(*steps: dict[str, object]) -> dict[str, object]:
    return {"kind": "normalize", "version": 2, "steps": list(steps)}


def scaled(**scaling: object) -> dict[str, object]:
    return recipe({"op": "scale", "method": "zscore", "columns": [scaling]})


def filled(**fill: object) -> dict[str, object]:
    return recipe({"op": "fill_nulls", "strategy": "mode", "columns": [fill]})


FAULTS: list[tuple[str, object, str]] = [
    ("metrics", {"colums": ["n"]}, "/params/colums"),
    ("metrics", {"columns": "n"}, "/params/columns"),
    ("metrics", {"columns": ["n", 1]}, "/params/columns/1"),
    ("metrics", {"columns": ["n", "m"]}, "/params/columns/1"),
    ("metrics", {"columns": ["n", "n"]}, "/params/columns/1"),
    ("metrics", [], "/params"),
    ("anomalies", {"columns": ["s"]}, "/params/columns/0"),
    ("anomalies", {"columns": ["f", "b"]}, "/params/columns/1"),
    ("anomalies", {"columns": []}, "/params/columns"),
    ("anomalies", {"method": "magic"}, "/params/method"),
    ("anomalies", {"threshold": 0}, "/params/threshold"),
    ("anomalies", {"threshold": -1.5}, "/params/threshold"),
    ("anomalies", {"limit_rows": 1.5}, "/params/limit_rows"),
    ("anomalies", {"contamination": 0.6}, "/params/contamination"),
    ("anomalies", {"contamination": 0.1, "threshold": 3}, "/params/contamination"),
    ("anomalies", {"method": "iqr", "bins": 10}, "/params/bins"),
    ("anomalies", {"by": ["f"]}, "/params/by/0"),
    ("anomalies", {"by": ["z"]}, "/params/by/0"),
    ("anomalies", {"by": ["s"], "method": "hbos"}, "/params/by"),
    ("anomalies", {"method": "seasonal"}, "/params/time_column"),
    ("anomalies", {"method": "seasonal", "time_column": "s"}, "/params/time_column"),
    ("anomalies", {"season": "hour_of_day"}, "/params/season"),
    ("anomalies", {"time_column": "n"}, "/params/time_column"),
    ("anomalies", {"method": "rolling", "window": 5, "time_column": "n"}, "/params/time_column"),
    ("anomalies", {"method": "rolling", "time_column": "d"}, "/params/window"),
    ("anomalies", {"method": "rolling", "time_column": "d", "window": 1}, "/params/window"),
    ("anomalies", {"method": "rolling", "time_column": "d", "window": "5 days"}, "/params/window"),
    ("anomalies", {"method": "rolling", "time_column": "d", "window": "5h"}, "/params/window"),
    ("anomalies", {"method": "rolling", "time_column": "d", "window": 5, "min_history": 6}, "/params/min_history"),
    ("anomalies", {"window": 5}, "/params/window"),
    ("anomalies", {"seed": 1}, "/params/seed"),
    ("anomalies", {"method": "isolation_forest", "sample_rows": 1}, "/params/sample_rows"),
    ("anomalies", {"method": "isolation_forest", "by": ["s"]}, "/params/by"),
    ("anomalies", {"columns": {"regex": "("}}, "/params/columns/regex"),
    ("anomalies", {"columns": {"regex": "^no such"}}, "/params/columns"),
    ("normalize", {}, "/params"),
    ("normalize", {"steps": []}, "/params/steps"),
    ("normalize", {"steps": [{"op": "drop_duplicates"}], "inverse": True}, "/params/inverse"),
    ("normalize", {"steps": [{"op": "drop_duplicates"}], "fitted": recipe()}, "/params"),
    ("normalize", {"steps": [{"op": "clip"}]}, "/params/steps/0"),
    ("normalize", {"steps": [{"op": "clip", "low": 1, "quantiles": [0, 1]}]}, "/params/steps/0"),
    ("normalize", {"steps": [{"op": "clip", "low": 2, "high": 1}]}, "/params/steps/0/low"),
    ("normalize", {"steps": [{"op": "clip", "quantiles": [0.5, 0.5]}]}, "/params/steps/0/quantiles"),
    ("normalize", {"steps": [{"op": "clip", "quantiles": [0.5, 2]}]}, "/params/steps/0/quantiles/1"),
    ("normalize", {"steps": [{"op": "clean_text"}]}, "/params/steps/0"),
    ("normalize", {"steps": [{"op": "clean_text", "columns": ["n"], "trim": True}]}, "/params/steps/0/columns/0"),
    ("normalize", {"steps": [{"op": "clean_text", "date_format": "%Q?"}]}, "/params/steps/0/date_format"),
    ("normalize", {"steps": [{"op": "clean_text", "date_format": "no date"}]}, "/params/steps/0/date_format"),
    ("normalize", {"fitted": recipe() | {"kind": "metrics"}}, "/params/fitted/kind"),
    ("normalize", {"fitted": recipe({"op": "drop_duplicates"}), "inverse": True}, "/params/fitted/steps"),
    ("normalize", {"fitted": scaled(column="s")}, "/params/fitted/steps/0/columns/0"),
    ("normalize", {"fitted": scaled(column="z"), "inverse": True}, "/params/fitted/steps/0/columns/0"),
    ("normalize", {"fitted": scaled(column="f", unit=-1)}, "/params/fitted/steps/0/columns/0"),
    ("normalize", {"fitted": filled(column="n", value="x")}, "/params/fitted/steps/0/columns/0"),
    ("normalize", {"fitted": filled(column="n", value=1, type="Int64")}, "/params/fitted/steps/0/columns/0"),
    ("normalize", {"steps": [{"op": "fly"}]}, "/params/steps/0/op"),
    ("normalize", {"steps": [{"keep": "first"}]}, "/params/steps/0"),
    ("normalize", {"steps": [{"op": "drop_duplicates", "keep": "best"}]}, "/params/steps/0/keep"),
    ("normalize", {"steps": [{"op": "drop_duplicates", "a~b/c": 1}]}, "/params/steps/0/a~0b~1c"),
    ("normalize", {"steps": [{"op": "drop_duplicates", "subset": ["n", "z"]}]}, "/params/steps/0/subset/1"),
    ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "mean", "columns": ["s"]}]}, "/params/steps/0/columns/0"),
    ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "mean", "value": 3}]}, "/params/steps/0/value"),
    ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "constant"}]}, "/params/steps/0/value"),
    (
        "normalize",
        {"steps": [{"op": "fill_nulls", "strategy": "constant", "value": "x", "columns": ["n"]}]},
        "/params/steps/0/value",
    ),
    (
        "normalize",
        {"steps": [{"op": "fill_nulls", "strategy": "constant", "value": 200, "columns": ["n"]}]},
        "/params/steps/0/value",
    ),
    (
        "normalize",
        {"steps": [{"op": "drop_duplicates"}, {"op": "scale", "method": "zscore", "columns": ["s"]}]},
        "/params/steps/1/columns/0",
    ),
    ("normalize", {"steps": [{"op": "scale", "method": "minmax", "range": [1, 1]}]}, "/params/steps/0/range"),
    ("normalize", {"steps": [{"op": "scale", "method": "minmax", "range": [1]}]}, "/params/steps/0/range"),
    ("normalize", {"steps": [{"op": "scale", "method": "robust", "range": [0, 2]}]}, "/params/steps/0/range"),
]


@pytest.mark.parametrize(("kind", "params", "pointer"), FAULTS)
def test_a_fault_points_at_its_place(kind: str, params: object, pointer: str) -> None:
    processor = KINDS[kind]
    with pytest.raises(InvalidRequest) as caught:
        processor.plan(columns_of(FRAME), decode_params(processor, msgspec.json.encode(params)))
    assert [fault.pointer for fault in caught.value.errors] == [pointer]
    assert caught.value.errors[0].detail.endswith(".")


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"columns": NaN}'])
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_params(KINDS["metrics"], raw)
    assert caught.value.errors[0].pointer == "/params"


def test_all_faults_are_told_together() -> None:
    params = decode_params(KINDS["anomalies"], b'{"columns": ["s", "f", "nowhere", "f"]}')
    with pytest.raises(InvalidRequest) as caught:
        KINDS["anomalies"].plan(columns_of(FRAME), params)
    assert [fault.pointer for fault in caught.value.errors] == [f"/params/columns/{place}" for place in (0, 2, 3)]


@pytest.mark.parametrize(
    ("kind", "params"), [("anomalies", {}), ("normalize", {"steps": [{"op": "scale", "method": "zscore"}]})]
)
def test_nothing_numeric_is_told(kind: str, params: object) -> None:
    processor = KINDS[kind]
    with pytest.raises(InvalidRequest):
        processor.plan(columns_of(FRAME.select("s")), decode_params(processor, msgspec.json.encode(params)))


def undescribed(schema: Mapping[str, Any]) -> Iterator[str]:
    """The params of a kind that say nothing of themselves, where a form or a reader of the docs would look."""
    for name, inner in {"params": schema, **schema.get("$defs", {})}.items():
        for param, told in inner.get("properties", {}).items():
            if param != "op" and not told.get("description"):
                yield f"{name}.{param}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_param_has_a_description(kind: str) -> None:
    described = describe(KINDS[kind])["params_schema"]
    assert isinstance(described, dict)
    assert list(undescribed(described)) == []


def test_a_param_without_a_description_is_found() -> None:
    inner = {"properties": {"op": {"enum": ["x"]}, "told": {"description": "It is."}, "bare": {"type": "string"}}}
    assert list(undescribed({"properties": {"top": {"$ref": "…"}}, "$defs": {"Inner": inner}})) == [
        "params.top",
        "Inner.bare",
    ]
