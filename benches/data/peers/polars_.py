# /// script
# requires-python = ">=3.11"
# dependencies = ["polars==2.1.*", "boto3"]
# ///
"""Bare Polars on the same Parquet parts, with no system around it: streamed from S3, streamed back to S3."""

import os
from itertools import combinations

import _kit
import polars as pl

ROW, WIDE = "row_number", 100


def scan(given):
    return pl.scan_parquet(given.urls(), storage_options=storage(), credential_provider=None)


def storage():
    return {
        "aws_endpoint_url": os.environ["S3_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["S3_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["S3_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["S3_REGION"],
        "aws_allow_http": "true",
    }


def sunk(frame, url):
    """A frame to be written to S3, among others that are collected. At the level that ours are written with."""
    chosen = {"compression": "zstd", "compression_level": 2}
    return frame.sink_parquet(url, **chosen, storage_options=storage(), credential_provider=None, lazy=True)


def row(frame, figures):
    return frame.select(**figures).collect(engine=engine(frame)).row(0, named=True)


def engine(frame):
    return "in-memory" if len(frame.collect_schema()) > WIDE else "streaming"


def numeric(frame):
    return [name for name, kind in frame.collect_schema().items() if kind.is_numeric()]


def metrics(given):
    """A wide table is read into memory first: the streaming engine takes minutes over thousands of quantiles."""
    frame = scan(given)
    if len(frame.collect_schema()) > WIDE:
        frame = frame.collect(engine="streaming").lazy()
    schema = frame.collect_schema()
    numbers = numeric(frame)
    figures = {"rows": pl.len()}
    for name, kind in schema.items():
        column = pl.col(name)
        figures |= {f"nulls {name}": column.null_count(), f"distinct {name}": column.approx_n_unique()}
        if kind.is_numeric():
            figures |= number_figures(name, column)
        elif kind == pl.String:
            lengths = column.str.len_chars()
            figures |= {f"shortest {name}": lengths.min(), f"longest {name}": lengths.max()}
            figures[f"length {name}"] = lengths.mean()
        else:
            figures |= {f"min {name}": column.min(), f"max {name}": column.max()}
    figures["different rows"] = pl.struct(pl.all()).hash().approx_n_unique()
    for one, other in combinations(numbers[: _kit.MOST_CORRELATED], 2):
        figures[f"corr {one} {other}"] = pl.corr(one, other)
    report = row(frame, figures)
    report |= second_pass(frame, schema, numbers, report)
    given_first = numbers[0]
    given.put_report(report)
    return {
        "rows": report["rows"],
        "median": report[f"quantile 0.5 {given_first}"],
        "mad": report[f"mad {given_first}"],
    }


def number_figures(name, column):
    found = {
        f"{what} {name}": getattr(column, what)()
        for what in ("min", "max", "sum", "mean", "std", "var", "skew", "kurtosis")
    }
    found |= {f"quantile {part} {name}": column.quantile(part, "linear") for part in _kit.FRACTIONS}
    return found | {f"zeros {name}": (column == 0).sum(), f"negatives {name}": (column < 0).sum()}


def second_pass(frame, schema, numbers, report):
    """What needs the medians and the extremes; and the most frequent values, where they are few."""
    mads = {f"mad {name}": (pl.col(name) - report[f"quantile 0.5 {name}"]).abs().median() for name in numbers}
    bins = {}
    for name in numbers:
        low, high = float(report[f"min {name}"]), float(report[f"max {name}"])
        place = ((pl.col(name) - low) / (high - low) * _kit.BINS).cast(pl.Int16).clip(0, _kit.BINS - 1)
        bins[f"histogram {name}"] = place.value_counts().implode()
    queries = [frame.select(**mads, **bins)]
    for name, kind in schema.items():
        if not kind.is_float() and report[f"distinct {name}"] < _kit.MOST_TOPPED:
            counted = frame.select(pl.col(name).alias(f"top {name}")).drop_nulls().group_by(pl.all()).len()
            queries.append(counted.sort(["len", f"top {name}"], descending=[True, False]).head(_kit.TOP))
    found, *tables = pl.collect_all(queries, engine=engine(frame))
    return found.row(0, named=True) | {table.columns[0]: table.rows() for table in tables}


def anomalies(given):
    frame = scan(given)
    numbers = numeric(frame)
    if given.work == "zscore":
        told = {f"center {name}": pl.col(name).mean() for name in numbers}
        fitted = row(frame, told | {f"unit {name}": pl.col(name).std() for name in numbers})
    else:
        fitted = row(frame, {f"center {name}": pl.col(name).median() for name in numbers})
        away = {name: (pl.col(name) - fitted[f"center {name}"]).abs() for name in numbers}
        fitted |= row(frame, {f"unit {name}": away[name].median() / _kit.CONSISTENCY for name in numbers})
    threshold = _kit.THRESHOLDS[given.work]
    signed = {name: (pl.col(name) - fitted[f"center {name}"]) / fitted[f"unit {name}"] for name in numbers}
    scores = [pl.col(f"score_{name}") for name in numbers]
    scored = (
        frame.with_row_index(ROW)
        .with_columns(value.abs().alias(f"score_{name}") for name, value in signed.items())
        .with_columns(score=pl.max_horizontal(scores))
    )
    leaders = [pl.when(score == pl.col("score")).then(pl.lit(score.meta.output_name()[6:])) for score in scores]
    kept = scored.filter(pl.col("score") > threshold).top_k(_kit.KEPT_ROWS, by="score").sort(ROW)
    result = sunk(kept.with_columns(column=pl.coalesce(leaders)), given.url("result.parquet"))
    counts = {"rows": pl.len(), "flagged": (pl.max_horizontal(v.abs() for v in signed.values()) > threshold).sum()}
    counts |= {f"below {name}": (value < -threshold).sum() for name, value in signed.items()}
    counts |= {f"above {name}": (value > threshold).sum() for name, value in signed.items()}
    report, _ = pl.collect_all([frame.select(**counts), result], engine="streaming")
    found = report.row(0, named=True)
    given.put_report(found | fitted)
    return {"rows": found["rows"], "flagged": found["flagged"]}


def scale(given):
    frame = scan(given)
    numbers = numeric(frame)
    told = {"rows": pl.len()}
    for name in numbers:
        column = pl.col(name)
        match given.work:
            case "scale_zscore":
                told |= {f"center {name}": column.mean(), f"unit {name}": column.std(ddof=0)}
            case "scale_robust":
                told |= {f"center {name}": column.median(), f"low {name}": column.quantile(0.25, "linear")}
                told[f"high {name}"] = column.quantile(0.75, "linear")
            case "scale_minmax":
                told |= {f"center {name}": column.min(), f"low {name}": column.min(), f"high {name}": column.max()}
    fitted = row(frame, told)
    for name in numbers:
        fitted.setdefault(f"unit {name}", fitted.get(f"high {name}", 0) - fitted.get(f"low {name}", 0))
    scaled = frame.with_columns((pl.col(name) - fitted[f"center {name}"]) / fitted[f"unit {name}"] for name in numbers)
    sunk(scaled, given.url("result.parquet")).collect(engine="streaming")
    given.put_report(fitted)
    first = numbers[0]
    return {"rows": fitted["rows"], "center": fitted[f"center {first}"], "unit": fitted[f"unit {first}"]}


WORKS = {
    "metrics": metrics,
    "zscore": anomalies,
    "modified_zscore": anomalies,
    "scale_zscore": scale,
    "scale_robust": scale,
    "scale_minmax": scale,
}

if __name__ == "__main__":
    _kit.main(WORKS)
