"""Cases of the kind `normalize`: a frame, params, figures of the report, and the result's columns."""

from datetime import date
from decimal import Decimal

import polars as pl

NAN, INF = float("nan"), float("inf")
_PLAIN = {"HTTPStatus": "http_status", "Größe": "größe", "*": "column"}

CASES = {
    "later steps are fitted on what earlier ones leave": {
        "frame": pl.DataFrame({"a": [1.0, 1.0, None, 4.0], "b": [0, 0, 10, 20]}),
        "params": {
            "steps": [
                {"op": "drop_duplicates"},
                {"op": "fill_nulls", "strategy": "mean", "columns": ["a"]},
                {"op": "scale", "method": "minmax", "range": [-1, 1]},
            ]
        },
        "report": {"rows_in": 4, "rows_out": 3, "steps.0.rows_dropped": 1, "steps.1.columns.0.value": 2.5},
        "table": {"a": [-1.0, 0.0, 1.0], "b": [-1.0, 0.0, 1.0]},
    },
    "keep last of a subset": {
        "frame": pl.DataFrame({"a": [1, 2, 1, 3, 2], "b": [1, 2, 3, 4, 5]}),
        "params": {"steps": [{"op": "drop_duplicates", "subset": ["a"], "keep": "last"}]},
        "report": {"rows_dropped": 2},
        "table": {"a": [1, 3, 2], "b": [3, 4, 5]},
    },
    "keep none": {
        "frame": pl.DataFrame({"a": [1.0, NAN, 1.0, 0.0, NAN, -0.0, None, 1.0]}),
        "params": {"steps": [{"op": "drop_duplicates", "keep": "none"}]},
        "report": {"rows_out": 1},
        "table": {"a": [None]},
    },
    "modes of every type, the smallest of equals": {
        "frame": pl.DataFrame(
            {
                "text": ["b", "a", None, "a", "b"],
                "day": [None, date(2020, 2, 2), date(1960, 1, 1), date(2020, 2, 2), None],
                "money": [Decimal("1.50"), Decimal("1.50"), None, Decimal("9.99"), None],
                "flag": [None, True, False, True, None],
                "float": [NAN, NAN, NAN, 2.0, None],
            }
        ),
        "params": {"steps": [{"op": "fill_nulls", "strategy": "mode"}]},
        "report": {"rows_dropped": 0},
        "table": {
            "text": ["b", "a", "a", "a", "b"],
            "day": [date(2020, 2, 2), date(2020, 2, 2), date(1960, 1, 1), date(2020, 2, 2), date(2020, 2, 2)],
            "money": [Decimal("1.50"), Decimal("1.50"), Decimal("1.50"), Decimal("9.99"), Decimal("1.50")],
            "flag": [True, True, False, True, True],
            "float": [2.0] * 5,
        },
    },
    "constants alone need no fit": {
        "frame": pl.DataFrame({"n": [1, None], "f": [NAN, 2.5], "s": [None, "x"]}),
        "params": {
            "steps": [
                {"op": "fill_nulls", "strategy": "constant", "value": 7},
                {"op": "fill_nulls", "strategy": "constant", "value": "?"},
            ]
        },
        "report": {"rows_in": 2, "rows_out": 2},
        "table": {"n": [1, 7], "f": [7.0, 2.5], "s": ["?", "x"]},
    },
    "rows with a gap dropped": {
        "frame": pl.DataFrame({"a": [1.0, NAN, 3.0, None], "s": ["x", "y", None, "z"]}),
        "params": {"steps": [{"op": "fill_nulls", "strategy": "drop"}, {"op": "drop_duplicates"}]},
        "report": {"rows_out": 1, "steps.0.rows_dropped": 3, "steps.1.rows_in": 1},
        "table": {"a": [1.0], "s": ["x"]},
    },
    "null and NaN are kept, a constant becomes 0": {
        "frame": pl.DataFrame(
            {"a": [1.0, None, 3.0, NAN], "c": [5, 5, 5, None], "e": pl.Series([None] * 4, dtype=pl.Float64)}
        ),
        "params": {"steps": [{"op": "scale", "method": "zscore"}]},
        "report": {"steps.0.columns.1.note": "constant", "steps.0.columns.2.note": "no values"},
        "table": {"a": [-1.0, None, 1.0, NAN], "c": [0.0, 0.0, 0.0, None], "e": [None] * 4},
    },
    "names that look like patterns": {
        "frame": pl.DataFrame({"^a$": [1, 2, 3], "a": [4, 5, 6], "*": [0, 5, 10]}),
        "params": {"steps": [{"op": "scale", "method": "minmax", "columns": ["^a$", "*"]}]},
        "report": {"rows_out": 3},
        "table": {"^a$": [0.0, 0.5, 1.0], "a": [4, 5, 6], "*": [0.0, 0.5, 1.0]},
    },
    "clipped at fixed bounds": {
        "frame": pl.DataFrame({"a": [-5, 0, 5, None], "b": [INF, -INF, NAN, None]}),
        "params": {"steps": [{"op": "clip", "low": -1, "high": 2.5}]},
        "report": {"rows_dropped": 0, "steps.0.columns.0": {"column": "a", "low": -1.0, "high": 2.5}},
        "table": {"a": [-1.0, 0.0, 2.5, None], "b": [2.5, -1.0, NAN, None]},
    },
    "winsorized at each column's quantiles, then scaled": {
        "frame": pl.DataFrame({"a": [*range(11)], "none": pl.Series([None] * 11, dtype=pl.Float64)}),
        "params": {
            "steps": [
                {"op": "clip", "quantiles": [0.1, 0.9], "columns": {"regex": "."}},
                {"op": "scale", "method": "maxabs", "columns": ["a"]},
            ]
        },
        "report": {"steps.0.columns.1": {"column": "none", "low": None, "high": None}},
        "table": {"a": [place / 9 for place in (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9)], "none": [None] * 11},
    },
    "texts cleaned in a fixed order": {
        "frame": pl.DataFrame(
            {
                "a": ["  Ab\t\n c ", "N/A ", None, "e\u0301", "\ufb01"],
                "b": ["31.12.1999", "1.2.2003", "never", None, "31.02.2000"],
                "n": [1, 2, 3, 4, 5],
            }
        ),
        "params": {
            "steps": [
                {
                    "op": "clean_text",
                    "columns": ["a"],
                    "unicode": "NFKC",
                    "trim": True,
                    "collapse": True,
                    "case": "lower",
                    "null_tokens": ["n/a", ""],
                },
                {"op": "clean_text", "columns": ["b"], "date_format": "%d.%m.%Y"},
            ]
        },
        "report": {"steps.1.date_format": "%d.%m.%Y", "rows_out": 5},
        "table": {
            "a": ["ab c", None, None, "\u00e9", "fi"],
            "b": ["1999-12-31", "2003-02-01", "never", None, "31.02.2000"],
            "n": [1, 2, 3, 4, 5],
        },
    },
    "snake_case names, and steps by the new ones": {
        "frame": pl.DataFrame(
            {"Total (EUR)": [1, 3], "totalEur": [1, 2], "HTTPStatus": [1, 2], "Größe": [0, 1], "*": 5}
        ),
        "params": {
            "steps": [{"op": "rename_columns"}, {"op": "scale", "method": "minmax", "columns": ["total_eur", "column"]}]
        },
        "report": {"steps.0.names": {"Total (EUR)": "total_eur", "totalEur": "total_eur_2", **_PLAIN}},
        "table": {
            "total_eur": [0.0, 1.0],
            "total_eur_2": [1, 2],
            "http_status": [1, 2],
            "größe": [0, 1],
            "column": [0.0, 0.0],
        },
    },
    "the last value carried on, over parts without any and after rows were dropped": {
        "frame": pl.DataFrame(
            {
                "a": [None, 1.0, NAN, None, None, None, 2.0, None],
                "s": [None, None, "x", None, None, None, None, "y"],
                "l": [[1], None, None, None, [2, 3], None, None, None],
                "key": [1, 2, 3, 4, 4, 5, 6, 7],
            }
        ),
        "params": {
            "steps": [
                {"op": "drop_duplicates", "subset": ["key"]},
                {"op": "fill_nulls", "strategy": "forward"},
                {"op": "scale", "method": "minmax", "columns": ["a"]},
            ]
        },
        "report": {"rows_out": 7, "steps.1.columns": ["a", "s", "l", "key"]},
        "table": {
            "a": [None, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            "s": [None, None, "x", "x", "x", "x", "y"],
            "l": [[1]] * 7,
            "key": [1, 2, 3, 4, 5, 6, 7],
        },
    },
    "quantiles as normal values, cut off at the ends, a constant in the middle": {
        "frame": pl.DataFrame({"a": [1, 2, 3, None, 4, 5], "c": [7, 7, 7, 7, None, 7]}),
        "params": {"steps": [{"op": "scale", "method": "quantile", "output": "normal"}]},
        "report": {"steps.0.columns.1.note": "constant", "accuracy": "exact"},
        "table": {
            "a": [-5.199337582192817, -0.6744897501960817, 0.0, None, 0.6744897501960817, 5.199337582192817],
            "c": [0.0, 0.0, 0.0, 0.0, None, 0.0],
        },
    },
    "powers: a symmetric column stays linear, a constant becomes 0, what lies too far out is told": {
        "frame": pl.DataFrame(
            {"a": [-2.0, -1.0, 0.0, 1.0, 2.0] + [None] * 36, "c": [3] * 41, "far": [0.0] * 40 + [1e9]}
        ),
        "params": {"steps": [{"op": "scale", "method": "power"}]},
        "report": {
            "steps.0.columns.0.power": 1.0,
            "steps.0.columns.1.note": "constant",
            "steps.0.columns.2.note": "values far out lie too close together to be taken back",
        },
        "table": {
            "a": [-(2.0**0.5), -(0.5**0.5), 0.0, 0.5**0.5, 2.0**0.5] + [None] * 36,
            "c": [0.0] * 41,
            "far": [-(0.025**0.5)] * 40 + [40.0**0.5],
        },
    },
}
