"""Cases of the kind `metrics`: a frame, params, and figures at their place in the report."""

from datetime import date

import polars as pl

CASES = {
    "small and mixed": {
        "frame": pl.DataFrame(
            {
                "number": [1, 2, 2, None, 5],
                "float": [1.5, float("nan"), -2.5, float("inf"), None],
                "text": ["x", "yy", "yy", None, ""],
                "day": [date(2020, 1, 1), date(2020, 1, 1), None, date(1999, 12, 31), date(2021, 5, 4)],
                "flag": [True, None, False, True, True],
            }
        ),
        "params": {},
        "report": {
            "rows": 5,
            "dataset.columns": 5,
            "dataset.duplicate_rows": {"value": 0, "label": "exact"},
            "dataset.null_ratio": 6 / 25,
            "columns.0.sum": 10,
            "columns.0.mean": 2.5,
            "columns.0.mad": 0.5,
            "columns.0.quantiles.25%": 1.75,
            "columns.0.distinct": 3,
            "columns.0.top_values.0": {"value": 2.0, "count": 2},
            "columns.1.count": 2,
            "columns.1.nan": 1,
            "columns.1.infinities": 1,
            "columns.1.negatives": 1,
            "columns.2.distinct": 3,
            "columns.2.lengths": {"min": 0, "max": 2, "mean": 1.25},
            "columns.3.earliest": "1999-12-31",
            "columns.3.latest": "2021-05-04",
            "columns.4.top_values.0": {"value": True, "count": 3},
        },
    },
    "chosen columns and repeated rows": {
        "frame": pl.DataFrame({"a": [1, 1, 1, 2], "b": [3, 3, 4, 4]}),
        "params": {"columns": ["a"], "correlations": False},
        "report": {"dataset.duplicate_rows.value": 2, "correlations": None, "columns.0.name": "a"},
    },
    "constant": {
        "frame": pl.DataFrame({"a": [0.1] * 7, "b": range(7)}),
        "params": {},
        "report": {
            "columns.0.constant": True,
            "columns.0.std": 0.0,
            "columns.0.skew": None,
            "columns.1.unique": True,
            "correlations.pearson": [[None, None], [None, 1.0]],
        },
    },
    "ranks beside values": {
        "frame": pl.DataFrame({"a": [1.0, 2.0, 3.0, 100.0, None], "b": [4, 3, 2, 2, 9], "c": [1, 1, 1, 1, 1]}),
        "params": {"spearman": True},
        "report": {
            "correlations.columns": ["a", "b", "c"],
            "correlations.spearman.0.0": 1.0,
            "correlations.spearman.0.2": None,
            "correlations.spearman_accuracy.label": "exact",
        },
    },
}
