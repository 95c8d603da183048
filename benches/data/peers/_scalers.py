"""The scalers of scikit-learn, whichever way the frame was read."""

import _pandas
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

SCALERS = {"scale_zscore": StandardScaler, "scale_robust": RobustScaler, "scale_minmax": MinMaxScaler}


def works(read):
    return dict.fromkeys(SCALERS, lambda given: scale(given, read(given)))


def scale(given, frame):
    scaler = SCALERS[given.work](copy=False)
    names = frame.select_dtypes("number").columns
    frame[names] = scaler.fit_transform(frame[names].to_numpy(dtype="float64", copy=True))
    _pandas.write(given, frame)
    center, unit = {
        "scale_zscore": lambda: (scaler.mean_, scaler.scale_),
        "scale_robust": lambda: (scaler.center_, scaler.scale_),
        "scale_minmax": lambda: (scaler.data_min_, scaler.data_range_),
    }[given.work]()
    given.put_report({"center": center.tolist(), "unit": unit.tolist()})
    return {"rows": len(frame), "center": float(center[0]), "unit": float(unit[0])}
