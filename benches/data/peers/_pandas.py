"""What pandas computes, whichever way it read the file."""

import _kit
import numpy as np
import pandas as pd
import pyarrow.parquet  # noqa: F401 (brought before the clock starts)


def works(read):
    def doing(work):
        return lambda given: work(given, read(given))

    return {
        "metrics": doing(metrics),
        "zscore": doing(anomalies),
        "modified_zscore": doing(anomalies),
        "scale_zscore": doing(scale),
        "scale_robust": doing(scale),
    }


def read_csv(given):
    path = given.fetch(given.csv)
    times = [name for name in pd.read_csv(path, nrows=0).columns if name == "at"]
    return pd.read_csv(path, parse_dates=times)


def metrics(given, frame):
    numbers = frame.select_dtypes("number")
    texts = frame.select_dtypes(include=["object", "string"])
    times = frame.select_dtypes("datetime")
    distinct = frame.nunique()
    medians = numbers.median()
    lengths = texts.apply(lambda column: column.str.len())
    report = {
        "numbers": numbers.describe(percentiles=list(_kit.FRACTIONS)).to_dict(),
        "sum": numbers.sum().to_dict(),
        "variance": numbers.var().to_dict(),
        "skew": numbers.skew().to_dict(),
        "kurtosis": numbers.kurt().to_dict(),
        "mad": (numbers - medians).abs().median().to_dict(),
        "zeros": (numbers == 0).sum().to_dict(),
        "negatives": (numbers < 0).sum().to_dict(),
        "histogram": {name: np.histogram(numbers[name].dropna(), _kit.BINS)[0].tolist() for name in numbers},
        "nulls": frame.isna().sum().to_dict(),
        "distinct": distinct.to_dict(),
        "top": {
            name: frame[name].value_counts().head(_kit.TOP).to_dict()
            for name in frame
            if distinct[name] < _kit.MOST_TOPPED
        },
        "lengths": lengths.agg(["min", "max", "mean"]).to_dict(),
        "times": times.agg(["min", "max"]).to_dict() if len(times.columns) else {},
        "duplicates": int(frame.duplicated().sum()),
        "pearson": numbers.iloc[:, : _kit.MOST_CORRELATED].corr().to_dict(),
    }
    given.put_report(report)
    first = numbers.columns[0]
    return {"rows": len(frame), "median": float(medians.iloc[0]), "mad": float(report["mad"][first])}


def anomalies(given, frame):
    numbers = frame.select_dtypes("number")
    if given.work == "zscore":
        center, unit = numbers.mean(), numbers.std()
    else:
        center = numbers.median()
        unit = (numbers - center).abs().median() / _kit.CONSISTENCY
    threshold = _kit.THRESHOLDS[given.work]
    away = (numbers - center) / unit
    scores = away.abs()
    best = scores.max(axis=1)
    flagged = best[best > threshold]
    kept = flagged.nlargest(_kit.KEPT_ROWS).index.sort_values()
    result = frame.loc[kept]
    result.insert(0, "row_number", kept)
    result.insert(1, "score", best.loc[kept])
    result.insert(2, "column", scores.loc[kept].idxmax(axis=1))
    result = result.join(scores.loc[kept].add_prefix("score_"))
    write(given, result)
    below, above = (away < -threshold).sum(), (away > threshold).sum()
    given.put_report({"flagged": len(flagged), "below": below.to_dict(), "above": above.to_dict()})
    return {"rows": len(frame), "flagged": len(flagged)}


def scale(given, frame):
    numbers = frame.select_dtypes("number")
    if given.work == "scale_zscore":
        center, unit = numbers.mean(), numbers.std(ddof=0)
    else:
        quartiles = numbers.quantile([0.25, 0.5, 0.75])
        center, unit = quartiles.loc[0.5], quartiles.loc[0.75] - quartiles.loc[0.25]
    frame[numbers.columns] = (numbers - center) / unit
    write(given, frame)
    given.put_report({"center": center.to_dict(), "unit": unit.to_dict()})
    return {"rows": len(frame), "center": float(center.iloc[0]), "unit": float(unit.iloc[0])}


def write(given, frame):
    path = given.folder / "result.parquet"
    frame.to_parquet(path, compression="zstd", index=False)
    given.put_file(path)


def read_parts(given):
    return pd.concat([pd.read_parquet(path) for path in given.fetch_parts()], ignore_index=True)
