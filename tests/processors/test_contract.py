"""Every kind keeps the contract: cases hold however the rows are cut, states travel, bytes repeat, rows balance."""

import runpy
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gristmill.errors import BadData, UnknownKind
from gristmill.processors import AnyProcessor, describe, discover, find, run
from gristmill.processors.contract import ROW, Again, decode_params, pack, unpack
from tests.processors.folder import KINDS, columns_of, cut, process

FOLDER = Path(__file__).parent / "cases"
CASES = [
    pytest.param(kind, case, id=f"{kind}: {name}")
    for kind in KINDS
    for name, case in runpy.run_path(str(FOLDER / f"{kind}.py"))["CASES"].items()
]


def at(report: object, path: str) -> object:
    """`columns.0.mean` of a report."""
    value: Any = report
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def table(rows: pl.DataFrame, wanted: Mapping[str, list[object]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = rows.select(pl.Series(name, rows.get_column(name)) for name in wanted)
    return found, pl.DataFrame(wanted, schema=found.schema)


@pytest.mark.parametrize("parts", [1, 3, 40])
@pytest.mark.parametrize(("kind", "case"), CASES)
def test_case_holds_however_the_rows_are_cut(kind: str, case: dict[str, Any], parts: int, tmp_path: Path) -> None:
    finished, folder = process(kind, case["frame"], case["params"], tmp_path, parts=parts)
    for path, wanted in case["report"].items():
        found = at(folder.report, path)
        assert found == (pytest.approx(wanted, rel=1e-12) if isinstance(wanted, float) else wanted), path
    if "table" in case:
        assert_frame_equal(*table(folder.rows, case["table"]), check_exact=False, rel_tol=1e-12)
    assert finished.rows_in == case["frame"].height == finished.rows_out + finished.rows_dropped
    assert ROW not in (folder.rows.columns if "table" in case else [])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_states_plans_and_fitted_figures_cross_machines(kind: str, case: dict[str, Any]) -> None:
    processor = KINDS[kind]
    frame = case["frame"]
    direct = processor.plan(columns_of(frame), decode_params(processor, msgspec.json.encode(case["params"])))
    sent: Any = unpack(pack(direct), type(direct))
    frames = list(run._numbered(cut(frame, 3), run._Counter("fit", lambda _: None)))
    while True:
        states = [processor.partial(piece, direct) for piece in frames]
        outcome = processor.finish(direct, processor.merge(states))
        travelled = [unpack(pack(processor.partial(piece, sent)), type(states[0])) for piece in frames]
        other = processor.finish(sent, processor.merge(travelled))
        if not isinstance(outcome, Again):
            break
        direct, sent = outcome.plan, unpack(pack(other.plan), type(outcome.plan))
    other = unpack(pack(other), type(outcome))
    assert pack(other) == pack(outcome)
    assert processor.report(sent, other) == processor.report(direct, outcome)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_same_input_gives_the_same_bytes(kind: str, case: dict[str, Any], tmp_path: Path) -> None:
    one = process(kind, case["frame"], case["params"], tmp_path / "one", parts=2)[1].contents
    other = process(kind, case["frame"], case["params"], tmp_path / "other", parts=2)[1].contents
    assert one == other
    assert "report.json" in one


@pytest.mark.parametrize("kind", KINDS)
def test_large_input_gives_the_same_bytes_in_the_order_of_rows(kind: str, many: pl.DataFrame, tmp_path: Path) -> None:
    params = dict(KINDS[kind].example)
    one = process(kind, many, params, tmp_path / "one", parts=3)[1]
    other = process(kind, many, params, tmp_path / "other", parts=3)[1]
    assert one.contents == other.contents
    if list(one.path.glob("*.parquet")):
        assert one.rows["n"].is_sorted()


@pytest.mark.parametrize("kind", KINDS)
def test_progress_never_goes_back_and_ends_full(kind: str, many: pl.DataFrame, tmp_path: Path) -> None:
    _, folder = process(kind, many, dict(KINDS[kind].example), tmp_path, parts=3)
    for stage in dict.fromkeys(seen.stage for seen in folder.progress):
        steps = [seen for seen in folder.progress if seen.stage == stage]
        assert all(a.done <= b.done and (a.total or 0) <= (b.total or 0) for a, b in pairwise(steps))
        assert all(seen.done <= (seen.total or 0) for seen in steps)
    fit = [seen for seen in folder.progress if seen.stage == "fit"]
    assert fit[-1].done == fit[-1].total
    assert len(fit) > 6


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    rows = 300_000
    return pl.select(
        n=pl.int_range(rows, dtype=pl.Int64),
        x=(pl.int_range(rows, dtype=pl.UInt64).hash(7) % 1_000_003).cast(pl.Float64),
        s=(pl.int_range(rows, dtype=pl.UInt64).hash(9) % 5).cast(pl.String),
    )


@pytest.mark.parametrize("processor", KINDS.values(), ids=KINDS)
def test_a_kind_documents_itself(processor: AnyProcessor) -> None:
    described = describe(processor)
    decode_params(processor, msgspec.json.encode(described["example"]))
    schema = described["params_schema"]
    assert isinstance(schema, dict)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert len(str(described["description"])) > 200
    text = msgspec.json.encode(schema).decode()
    for name in schema.get("$defs", {}):
        assert f"#/$defs/{name}" in text


def test_no_parts_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(BadData):
        run.run(
            KINDS["metrics"],
            params=decode_params(KINDS["metrics"], b"{}"),
            columns=(),
            parts=(),
            output=process("metrics", pl.DataFrame({"a": [1]}), {}, tmp_path)[1],
            progress=lambda _: None,
        )


FOURTH = '''
"""The kind `heights`: counts rows."""

from collections.abc import Sequence

import msgspec
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors.contract import Planned, Processor


class HeightsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Height(msgspec.Struct, frozen=True):
    rows: int


class Heights(Processor[HeightsParams, Planned, Height, Height]):
    """Counts rows."""

    kind = "heights"
    Params = HeightsParams
    example = {}

    def plan(self, columns: Sequence[Column], params: HeightsParams) -> Planned:
        return Planned()

    def partial(self, frame: pl.LazyFrame, plan: Planned) -> Height:
        return Height(frame.select(pl.len()).collect(engine="streaming").item())

    def merge(self, states: Sequence[Height]) -> Height:
        return Height(sum(state.rows for state in states))

    def finish(self, plan: Planned, state: Height) -> Height:
        return state

    def report(self, plan: Planned, fitted: Height) -> dict[str, object]:
        return {"rows": fitted.rows}
'''


def test_a_kind_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "dropped_in"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shared.py").write_text("from gristmill.processors.metrics import Metrics\n")
    (package / "heights.py").write_text(FOURTH)
    monkeypatch.syspath_prepend(tmp_path)
    found = discover(name="dropped_in", path=[str(package)])
    assert list(found) == ["heights"]
    _, folder = process(found["heights"], pl.DataFrame({"a": [1, 2, 3]}), {}, tmp_path / "out", parts=2)
    assert folder.report["rows"] == 3


def test_kinds_are_in_alphabetical_order_and_found_by_name() -> None:
    assert list(KINDS) == ["anomalies", "metrics", "normalize"] == list(discover())
    assert find("metrics", KINDS) is KINDS["metrics"]
    with pytest.raises(UnknownKind):
        find("ingest", KINDS)
