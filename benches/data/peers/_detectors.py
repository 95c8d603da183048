"""The detectors of PyOD, whichever way the frame was read. HBOS gets as many bins as ours; `n_jobs` stays at 1."""

import math

import _kit
import _pandas
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest

MOST_BINS = 1000


def works(read):
    return dict.fromkeys(("hbos", "copod", "ecod", "isolation_forest"), lambda given: find(given, read(given)))


def detector(work, rows):
    match work:
        case "hbos":
            return HBOS(n_bins=min(MOST_BINS, round(math.sqrt(rows))), contamination=_kit.CONTAMINATION)
        case "copod":
            return COPOD(contamination=_kit.CONTAMINATION)
        case "ecod":
            return ECOD(contamination=_kit.CONTAMINATION)
        case _:
            return IForest(contamination=_kit.CONTAMINATION, random_state=0, n_jobs=2)


def find(given, frame):
    found = detector(given.work, len(frame))
    found.fit(frame.select_dtypes("number").to_numpy(dtype="float64"))
    frame.insert(0, "score", found.decision_scores_)
    flagged = frame[found.decision_scores_ > found.threshold_]
    kept = flagged.nlargest(_kit.KEPT_ROWS, "score").sort_index()
    kept.insert(0, "row_number", kept.index)
    _pandas.write(given, kept)
    given.put_report({"flagged": len(flagged), "threshold": float(found.threshold_)})
    return {"rows": len(frame)}
