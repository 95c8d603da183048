import polars as pl

CASES = {
    "one row of two has a gap": {
        "frame": pl.DataFrame({"city": ["Oslo", "Lima"], "temperature": [4.5, None]}),
        "params": {"columns": ["temperature"]},
        "report": {"rows": 2, "rows_with_gaps": 1},
    }
}
