"""The normal distribution over arrays: its quantiles and its shares."""

import math

import numpy as np

from gristmill.processors.columns import Floats


def _terms(numbers: str) -> Floats:
    return np.array(numbers.split(), dtype=np.float64)


# Wichura (1988), "Algorithm AS 241: The percentage points of the normal distribution", PPND16: exact to about 1e-16.
# Lowest power last, as numpy's polyval has them. SciPy has the same and would cost every executor 17 MB.
_MIDDLE = (
    _terms(
        "2509.0809287301226727 33430.575583588128105 67265.770927008700853 45921.953931549871457 "
        "13731.693765509461125 1971.5909503065514427 133.14166789178437745 3.387132872796366608"
    ),
    _terms(
        "5226.495278852545925 28729.085735721942674 39307.89580009271061 21213.794301586595867 "
        "5394.1960214247511077 687.1870074920579083 42.313330701600911252 1.0"
    ),
)
_TAIL = (
    _terms(
        "7.7454501427834140764e-4 0.0227238449892691845833 0.24178072517745061177 1.27045825245236838258 "
        "3.64784832476320460504 5.7694972214606914055 4.6303378461565452959 1.42343711074968357734"
    ),
    _terms(
        "1.05075007164441684324e-9 5.475938084995344946e-4 0.0151986665636164571966 0.14810397642748007459 "
        "0.68976733498510000455 1.6763848301838038494 2.05319162663775882187 1.0"
    ),
)
_FAR = (
    _terms(
        "2.01033439929228813265e-7 2.71155556874348757815e-5 0.0012426609473880784386 0.026532189526576123093 "
        "0.29656057182850489123 1.7848265399172913358 5.4637849111641143699 6.6579046435011037772"
    ),
    _terms(
        "2.04426310338993978564e-15 1.4215117583164458887e-7 1.8463183175100546818e-5 7.868691311456132591e-4 "
        "0.0148753612908506148525 0.13692988092273580531 0.59983220655588793769 1.0"
    ),
)


def at_share(shares: Floats) -> Floats:
    """The values below which these shares of a standard normal distribution lie; infinite at 0 and 1."""
    away = shares - 0.5
    central = np.abs(away) <= 0.425
    near = np.where(central, 0.180625 - away * away, 0.0)
    with np.errstate(divide="ignore"):
        depth = np.sqrt(-np.log(np.minimum(shares, 1 - shares)))
    depth = np.where(central | ~np.isfinite(depth), 5.0, depth)
    outside = np.where(depth <= 5, _ratio(_TAIL, depth - 1.6), _ratio(_FAR, depth - 5))
    found = np.where(central, away * _ratio(_MIDDLE, near), np.copysign(outside, away))
    return np.where(shares <= 0, -np.inf, np.where(shares >= 1, np.inf, found))


def share(values: Floats) -> Floats:
    """The shares of a standard normal distribution that lie below values."""
    scaled = (values * -math.sqrt(0.5)).tolist()
    return np.fromiter(map(math.erfc, scaled), dtype=np.float64, count=len(values)) / 2


def _ratio(terms: tuple[Floats, Floats], at: Floats) -> Floats:
    above, below = terms
    return np.polyval(above, at) / np.polyval(below, at)
