# /// script
# requires-python = ">=3.11"
# dependencies = ["duckdb==1.5.5", "duckdb-extensions", "duckdb-extension-httpfs==1.5.5", "pytz", "boto3"]
# ///
"""DuckDB from the Parquet parts: it reads them from S3 and writes its result there itself (httpfs, from a wheel)."""

import os
from itertools import combinations
from urllib.parse import urlsplit

import _kit
import duckdb
from duckdb_extensions import import_extension

NUMBERS = ("DOUBLE", "BIGINT")
COUNT_DISTINCT = "approx_count_distinct"  # ours is approximate too beyond some distinct values


def connect(given):
    """A connection with the dataset as the view `data`, and its columns by type."""
    place = urlsplit(os.environ["S3_ENDPOINT_URL"])
    db = duckdb.connect(config={"temp_directory": str(given.folder)})
    db.execute("LOAD httpfs")
    db.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['S3_ACCESS_KEY_ID']}', SECRET "
        f"'{os.environ['S3_SECRET_ACCESS_KEY']}', REGION '{os.environ['S3_REGION']}', ENDPOINT '{place.netloc}', "
        f"URL_STYLE 'path', USE_SSL {str(place.scheme == 'https').lower()})"
    )
    listed = ", ".join(f"'{url}'" for url in given.urls())
    db.execute(f"CREATE VIEW data AS SELECT * FROM read_parquet([{listed}])")
    columns = [(row[0], row[1]) for row in db.execute("DESCRIBE data").fetchall()]
    return db, columns


def numeric(columns):
    return [name for name, kind in columns if kind in NUMBERS]


def row(db, figures):
    """Named expressions over the dataset, in one pass."""
    listed = ", ".join(f'{expression} AS "{name}"' for name, expression in figures.items())
    found = db.execute(f"SELECT {listed} FROM data")
    return dict(zip(figures, found.fetchone(), strict=True))


def metrics(given):
    db, columns = connect(given)
    numbers = numeric(columns)
    figures = {"rows": "count(*)"}
    for name, kind in columns:
        figures |= {f"count {name}": f'count("{name}")', f"distinct {name}": f'{COUNT_DISTINCT}("{name}")'}
        if name in numbers:
            figures |= number_figures(name)
        elif kind == "VARCHAR":
            figures |= {f"{what} length {name}": f'{what}(length("{name}"))' for what in ("min", "max", "avg")}
        else:
            figures |= {f"{what} {name}": f'{what}("{name}")' for what in ("min", "max")}
    everything = ", ".join(f'"{name}"' for name, _ in columns)
    figures["different rows"] = f"{COUNT_DISTINCT}(hash({everything}))"
    pairs = combinations(numbers[: _kit.MOST_CORRELATED], 2)
    figures |= {f"corr {one} {other}": f'corr("{one}", "{other}")' for one, other in pairs}
    report = row(db, figures)
    report |= row(db, {f"histogram {name}": histogram(name, report) for name in numbers})
    for name, kind in columns:
        if kind != "DOUBLE" and report[f"distinct {name}"] < _kit.MOST_TOPPED:
            top = f'SELECT "{name}", count(*) FROM data WHERE "{name}" IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT'
            report[f"top {name}"] = db.execute(f"{top} {_kit.TOP}").fetchall()
    given.put_report(report)
    return {"rows": report["rows"], "median": report[f"quantiles {numbers[0]}"][3], "mad": report[f"mad {numbers[0]}"]}


def number_figures(name):
    figures = {
        f"{what} {name}": f'{what}("{name}")'
        for what in ("min", "max", "sum", "avg", "stddev_samp", "var_samp", "skewness", "kurtosis_pop", "mad")
    }
    figures[f"quantiles {name}"] = f'quantile_cont("{name}", {list(_kit.FRACTIONS)})'
    figures[f"zeros {name}"] = f'count(*) FILTER ("{name}" = 0)'
    figures[f"negatives {name}"] = f'count(*) FILTER ("{name}" < 0)'
    return figures


def histogram(name, report):
    low, high = float(report[f"min {name}"]), float(report[f"max {name}"])
    edges = [low + (high - low) * place / _kit.BINS for place in range(_kit.BINS + 1)]
    return f'histogram("{name}"::DOUBLE, {edges})'


def anomalies(given):
    db, columns = connect(given)
    numbers = numeric(columns)
    if given.work == "zscore":
        center, unit = "avg", "stddev_samp({})"
    else:
        center, unit = "median", f"mad({{}}) / {_kit.CONSISTENCY}"
    told = {f"center {name}": f'{center}("{name}")' for name in numbers}
    told |= {f"unit {name}": unit.format(f'"{name}"') for name in numbers}
    fitted = row(db, told)
    away = {name: f'(("{name}" - {fitted[f"center {name}"]}) / {fitted[f"unit {name}"]})' for name in numbers}
    threshold = _kit.THRESHOLDS[given.work]
    best = f"greatest({', '.join(f'abs({value})' for value in away.values())})"
    counts = {"rows": "count(*)", "flagged": f"count(*) FILTER ({best} > {threshold})"}
    counts |= {f"below {name}": f"count(*) FILTER ({value} < -{threshold})" for name, value in away.items()}
    counts |= {f"above {name}": f"count(*) FILTER ({value} > {threshold})" for name, value in away.items()}
    report = row(db, counts)
    scores = ", ".join(f'abs({value}) AS "score_{name}"' for name, value in away.items())
    led = " ".join(f"WHEN abs({value}) = score THEN '{name}'" for name, value in away.items())
    numbered = f"SELECT *, row_number() OVER () - 1 AS row_number, {best} AS score FROM data"
    kept = (
        f"SELECT * FROM ({numbered}) WHERE score > {threshold} ORDER BY score DESC, row_number LIMIT {_kit.KEPT_ROWS}"
    )
    result = f'SELECT *, CASE {led} END AS "column", {scores} FROM ({kept}) ORDER BY row_number'
    db.execute(f"COPY ({result}) TO '{given.url('result.parquet')}' (FORMAT parquet, COMPRESSION zstd)")
    given.put_report(report | fitted)
    return {"rows": report["rows"], "flagged": report["flagged"]}


def scale(given):
    db, columns = connect(given)
    numbers = numeric(columns)
    told = {"rows": "count(*)"}
    for name in numbers:
        if given.work == "scale_zscore":
            told |= {f"center {name}": f'avg("{name}")', f"unit {name}": f'stddev_pop("{name}")'}
        else:
            told[f"quartiles {name}"] = f'quantile_cont("{name}", [0.25, 0.5, 0.75])'
    fitted = row(db, told)
    for name in numbers:
        if f"quartiles {name}" in fitted:
            first, middle, third = fitted[f"quartiles {name}"]
            fitted |= {f"center {name}": middle, f"unit {name}": third - first}
    listed = ", ".join(
        f'("{name}" - {fitted[f"center {name}"]}) / {fitted[f"unit {name}"]} AS "{name}"' for name in numbers
    )
    db.execute(
        f"COPY (SELECT * REPLACE ({listed}) FROM data) TO '{given.url('result.parquet')}' "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    given.put_report(fitted)
    return {
        "rows": fitted["rows"],
        "center": fitted[f"center {numbers[0]}"],
        "unit": fitted[f"unit {numbers[0]}"],
    }


WORKS = {
    "metrics": metrics,
    "zscore": anomalies,
    "modified_zscore": anomalies,
    "scale_zscore": scale,
    "scale_robust": scale,
}

if __name__ == "__main__":
    import_extension("httpfs")
    _kit.main(WORKS)
