"""Cases of the kind `anomalies`: a frame, params, figures of the report, and the result's columns."""

import math
from datetime import date

import polars as pl

ROSNER = [
    *(-0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70),
    *(1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40),
    *(2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01),
]
"""NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3 (Rosner 1983): 54 values, three of them outliers."""

CASES = {
    "Rosner by z-score: masking leaves one": {
        "frame": pl.DataFrame({"x": ROSNER}),
        "params": {"method": "zscore"},
        "report": {"rows_in": 54, "rows_out": 1, "columns.0.above": 1},
        "table": {"row_number": [53], "x": [6.01], "column": ["x"]},
    },
    "hidden by each other": {
        "frame": pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0, 100.0]}),
        "params": {"method": "modified_zscore"},
        "report": {"rows_flagged": 2, "columns.0.masked": {"values": 2, "accuracy": "exact"}},
        "table": {"row_number": [7, 8]},
    },
    "MAD of 0 falls back": {
        "frame": pl.DataFrame({"x": [1.0] * 20 + [9.0], "constant": [3] * 21}),
        "params": {"method": "modified_zscore"},
        "report": {
            "rows_flagged": 1,
            "columns.0.note": "MAD is 0: the mean absolute deviation to the median is used instead",
            "degenerate_columns": ["constant"],
        },
        "table": {"score": [8 / (1.253314 * 8 / 21)], "bound": [1 + 3.5 * 1.253314 * 8 / 21]},
    },
    "Tukey's fences, lower side, with missing values": {
        "frame": pl.DataFrame(
            {"x": [-50.0, 1.0, 2.0, None, 3.0, 4.0, float("nan"), 5.0], "y": [0, 0, 0, 0, 0, 0, 0, 1]}
        ),
        "params": {"method": "iqr"},
        "report": {"columns.0.below": 1, "columns.0.low": 1.25 - 1.5 * 2.5, "degenerate_columns": ["y"]},
        "table": {"row_number": [0], "score": [51.25 / 2.5], "bound": [-2.5], "y": [0]},
    },
    "only the highest scores, in the order of rows": {
        "frame": pl.DataFrame({"x": [0.0, 0.1, 0.2, 0.3, 40.0, 0.4, 0.5, 60.0, 0.6, -50.0, 0.7, 0.8, 0.9]}),
        "params": {"method": "iqr", "limit_rows": 2},
        "report": {"rows_flagged": 3, "rows_out": 2},
        "table": {"row_number": [7, 9], "x": [60.0, -50.0]},
    },
    "a name that is taken": {
        "frame": pl.DataFrame({"score": [1.0, 2.0, 3.0, 2.0, 1.0, 99.0], "^.*$": [5, 5, 6, 7, 6, 5]}),
        "params": {"method": "iqr", "columns": ["score", "^.*$"]},
        "report": {"output_columns.score": "score_"},
        "table": {"score": [99.0], "^.*$": [5], "column": ["score"]},
    },
    "a histogram: the lonely bin": {
        "frame": pl.DataFrame({"x": [*[1.0] * 6, *[2.0] * 3, 9.0]}),
        "params": {"method": "hbos", "bins": 4, "contamination": 0.1},
        "report": {"rows_flagged": 1, "columns.0.bins": 4, "columns.0.highest_in": 1, "threshold": 0.0},
        "table": {"row_number": [9], "score": [math.log(9)], "column": ["x"], "bound": [None]},
    },
    "tails: rare in both columns": {
        "frame": pl.DataFrame({"a": [0, 1, 2, 3, 50], "b": [-80.0, 1.0, 2.0, None, 3.0]}),
        "params": {"method": "ecod", "threshold": 1.4},
        "report": {"rows_flagged": 2, "columns.0.longer_tail": "right", "columns.1.longer_tail": "left"},
        "table": {"row_number": [0, 4], "score": [(math.log(5) + math.log(4)) / 2] * 2, "column": ["a", "a"]},
    },
    "tails: the longer one, or the mean of both": {
        "frame": pl.DataFrame({"a": [0, 1, 2, 3, 50]}),
        "params": {"method": "copod", "contamination": 0.2},
        "report": {"rows_flagged": 1, "columns.0.highest_in": 1},
        "table": {"row_number": [4], "score": [math.log(5)]},
    },
    "groups: high in one is common in the other": {
        "frame": pl.DataFrame({"g": ["a"] * 7 + ["b"] * 7, "x": [1, 2, 3, 2, 1, 2, 90, 90, 91, 92, 91, 90, 91, 90]}),
        "params": {"method": "modified_zscore", "by": ["g"]},
        "report": {"rows_flagged": 1, "groups.1.group": {"g": "b"}, "groups.1.columns.0.values": 7},
        "table": {"row_number": [6], "x": [90], "score": [0.6745 * 88], "bound": [2 + 3.5 / 0.6745]},
    },
    "a season of whole days": {
        "frame": pl.DataFrame({"day": pl.date_range(date(2024, 1, 1), date(2024, 2, 25), eager=True)}).with_columns(
            x=pl.when(pl.col("day").dt.weekday() > 5).then(10).otherwise(1) + pl.col("day").dt.day() % 3 / 10
        ),
        "params": {"method": "seasonal", "time_column": "day", "season": "day_of_week", "contamination": 0.05},
        "report": {"contamination": 0.05, "groups.6.group": {"day_of_week": "7"}},
    },
    "rolling: only the past counts, and the first rows wait for one": {
        "frame": pl.DataFrame({"day": [date(2024, 1, day) for day in range(1, 9)], "x": [1, 2, 3, 2, 9, 2, None, 0]}),
        "params": {"method": "rolling", "time_column": "day", "window": 4, "min_history": 3},
        "report": {
            "rows_in": 8,
            "rows_flagged": 1,
            "columns.0.values": 7,
            "columns.0.short_history": 3,
            "columns.0.above": 1,
            "columns.0.below": 0,
            "rows_in_order_of_time": True,
        },
        "table": {
            "row_number": [4],
            "score": [7 / math.sqrt(2 / 3)],
            "column": ["x"],
            "bound": [2 + 3 * math.sqrt(2 / 3)],
            "x": [9],
        },
    },
    "rolling: out of order, without a time, with a flat past": {
        "frame": pl.DataFrame(
            {
                "day": [date(2024, 1, 9), None, *(date(2024, 1, day) for day in (4, 3, 2, 1))],
                "x": [50.0, 99.0, 3.0, 2.0, 1.0, 2.0],
                "flat": [5.0, 5.0, 7.0, 5.0, 5.0, 5.0],
            }
        ),
        "params": {"method": "rolling", "time_column": "day", "window": "7d", "min_history": 3, "threshold": 1.5},
        "report": {
            "rows_without_time": 1,
            "rows_in_order_of_time": False,
            "columns.0.short_history": 3,
            "columns.1.constant_history": 1,
            "columns.1.note": None,
            "rows_in": 6,
        },
        "table": {"row_number": [0, 2], "column": ["x", "x"], "bound": [2 + 1.5, 5 / 3 + 1.5 / math.sqrt(3)]},
    },
    "an isolation forest of two points": {
        "frame": pl.DataFrame({"x": [0.0] * 9 + [1.0], "y": [3] * 10}),
        "params": {"method": "isolation_forest", "trees": 4, "threshold": 0.6},
        "report": {
            "rows_flagged": 1,
            "accuracy": "sampled",
            "degenerate_columns": ["y"],
            "sample": {"rows": 10, "rows_of_a_tree": 10, "trees": 4, "seed": 0},
            "columns.0.highest_in": 1,
        },
        # One cut parts them: the path length is 1, that of an average row 3.7489 (c(10)).
        "table": {"row_number": [9], "score": [2 ** (-1 / 3.748880484475505)], "column": ["x"]},
    },
}
