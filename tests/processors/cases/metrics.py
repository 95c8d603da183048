"""Cases of the kind `metrics`: a frame, params, and figures at their place in the report."""

from datetime import UTC, date, datetime, timedelta

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
    "columns in order": {
        "frame": pl.DataFrame(
            {
                "up": [1, 2, 2, None, 5],
                "strictly up": [1.0, 2.0, float("nan"), 3.0, float("inf")],
                "down": ["c", "b", None, "b", "a"],
                "strictly down": pl.Series([2**63 + 3, 2**63 + 2, 2**63 + 1, 2**63, 7], dtype=pl.UInt64),
                "same": [None, 4, 4, None, 4],
                "neither": [1, 3, 2, 4, 5],
                "one": [None, None, 1, None, None],
                "no order": [True, True, True, True, True],
            }
        ),
        "params": {},
        "report": {
            "columns.0.monotonic": "increasing",
            "columns.1.monotonic": "strictly_increasing",
            "columns.2.monotonic": "decreasing",
            "columns.3.monotonic": "strictly_decreasing",
            "columns.4.monotonic": "constant",
            "columns.5.monotonic": None,
            "columns.6.monotonic": None,
            "conventions.monotonic": "of the values that are there, in the order of the rows; texts by code points",
        },
    },
    "times with gaps": {
        "frame": pl.DataFrame(
            {
                "in order": [date(2024, 1, 1), date(2024, 1, 2), None, date(2024, 1, 2), date(2024, 1, 10)],
                "falling": [datetime(2024, 5, 1, 0, 0, second, tzinfo=UTC) for second in (50, 40, 30, 21, 11)],
                "in disorder": [datetime(2024, 5, 1, hour) for hour in (3, 0, 1, 9, 2)],  # noqa: DTZ001
                "far apart": pl.Series([-(9 * 10**18), 0, 1, 2, 9 * 10**18], dtype=pl.Datetime("ns")),
                "once": [date(2024, 1, 1)] * 5,
                "clock": [timedelta(seconds=second) for second in range(5)],
            }
        ),
        "params": {},
        "report": {
            "columns.0.monotonic": "increasing",
            "columns.0.gaps": {
                "steps": 2,
                "median_step": "P1D",
                "irregular_steps": 1,
                "largest": {"step": "P8D", "from": "2024-01-02", "to": "2024-01-10"},
            },
            "columns.1.gaps.median_step": "PT10S",
            "columns.1.gaps.irregular_steps": 1,
            "columns.1.gaps.largest.from": "2024-05-01 00:00:11.000000+00:00",
            "columns.2.monotonic": None,
            "columns.2.gaps.steps": 4,
            "columns.2.gaps.median_step": "PT1H",
            "columns.2.gaps.largest": {
                "step": "PT6H",
                "from": "2024-05-01 03:00:00.000000",
                "to": "2024-05-01 09:00:00.000000",
            },
            "columns.2.accuracy": {},
            "columns.3.gaps.median_step": "PT0.000000001S",
            "columns.3.gaps.largest.step": "P104166DT16H",
            "columns.3.gaps.largest.from": "1684-10-19 08:00:00.000000000",
            "columns.4.gaps": None,
            "columns.5.monotonic": "strictly_increasing",
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
