"""From what was measured to tables and ratios: also from figures of several runs."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from benches.measuring import Wanted, median, spread

OURS = "gristmill"
MOST_MB = 512
# The work that pandas is wanted to be slower at, and how many times; scalers and detectors have peers of their own.
AS_PANDAS = {"metrics": 5.0, "zscore": 5.0, "modified_zscore": 5.0, "scale_zscore": 3.0, "scale_robust": 3.0}
LEARNED = ("sklearn", "sklearn_parquet", "pyod", "pyod_parquet")
HEAD = "| rows | work | who | seconds | from–to | of ours | CPU s | peak MB | with its start, s |"
Size = tuple[str, int]


class Medians:
    """Median figures by size, work and who did it."""

    def __init__(self, figures: Iterable[dict[str, Any]]) -> None:
        self._lines: dict[tuple[Size, str, str], list[dict[str, Any]]] = {}
        for line in figures:
            if line["part"] == "jobs":
                key = ((line["shape"], line["rows"]), line["work"], line["who"])
                self._lines.setdefault(key, []).append(line)

    def sizes(self) -> list[Size]:
        return sorted({size for size, _, _ in self._lines})

    def works(self, size: Size) -> list[str]:
        return list(dict.fromkeys(work for own, work, _ in self._lines if own == size))

    def who(self, size: Size, work: str) -> list[str]:
        names = {who for own, done, who in self._lines if (own, done) == (size, work)}
        return sorted(names, key=lambda name: (name != OURS, self.get(size, work, name) or float("inf")))

    def all(self, size: Size, work: str, who: str, what: str = "seconds") -> list[float]:
        return [line[what] for line in self._lines.get((size, work, who), ()) if what in line]

    def broken(self, size: Size, work: str, who: str) -> str | None:
        return next((line["broken"] for line in self._lines[size, work, who] if "broken" in line), None)

    def get(self, size: Size, work: str, who: str, what: str = "seconds") -> float | None:
        found = self.all(size, work, who, what)
        return median(found) if found else None


def jobs(figures: Iterable[dict[str, Any]]) -> str:
    found = Medians(figures)
    lines = [HEAD, "|---|---|---|---:|---|---:|---:|---:|---:|"]
    for size in found.sizes():
        for work in found.works(size):
            ours = found.get(size, work, OURS)
            lines += [_row(found, size, work, who, ours) for who in found.who(size, work)]
    return "\n".join(lines)


def _row(found: Medians, size: Size, work: str, who: str, ours: float | None) -> str:
    place = f"| {_words(size)} | {work.replace('_', ' ')} | {who.replace('_', ' ')} |"
    seconds = found.get(size, work, who)
    if seconds is None:
        return f"{place} {found.broken(size, work, who)} | | | | | |"
    cpu, peak = (found.get(size, work, who, what) or 0.0 for what in ("cpu_s", "peak_mb"))
    times = f"{seconds / ours:.2f}" if ours else ""
    whole = found.get(size, work, who, "process_s")
    figures = f"{times} | {cpu:.1f} | {peak:,.0f} | {f'{whole:.1f}' if whole else '–'}"
    return f"{place} {seconds:.2f} | {spread(found.all(size, work, who))} | {figures} |"


def _words(size: Size) -> str:
    shape, rows = size
    words = f"{rows / 1e6:g} M" if rows >= 1_000_000 else f"{rows:,}"
    return words if shape == "long" else f"{words} × 500 columns"


def ratios(figures: Iterable[dict[str, Any]]) -> list[Wanted]:
    found = Medians(figures)
    wanted = []
    for size in found.sizes():
        for work in found.works(size):
            wanted += list(_of_one(found, size, work))
    return wanted + list(_linear(found))


def _of_one(found: Medians, size: Size, work: str) -> Iterable[Wanted]:
    ours, words = found.get(size, work, OURS), f"{_words(size)}, {work.replace('_', ' ')}"
    if ours is None:
        return

    def of(who: str, what: str = "seconds") -> float | None:
        return found.get(size, work, who, what)

    if (pandas := of("pandas")) is not None:
        yield Wanted(f"{words}: pandas / ours", pandas / ours, f"at least {AS_PANDAS[work]:g}")
        if (ingest := found.get(size, "ingest csv", OURS)) is not None:
            yield Wanted(f"{words}: pandas / ours with ingest", pandas / (ours + ingest), "at least 1.3")
    if (other := of("pandas_arrow")) is not None:
        yield Wanted(f"{words}: pandas with PyArrow's reader / ours", other / ours, "")
    if (other := of("duckdb")) is not None:
        yield Wanted(f"{words}: DuckDB / ours", other / ours, "at least 1.3")
    for who in LEARNED:
        if (other := of(who)) is not None:
            yield Wanted(f"{words}: {who.replace('_', ' ')} / ours", other / ours, "at least 5")
    if (other := of("polars")) is not None:
        yield Wanted(f"{words}: ours / bare Polars", ours / other, "at most 1.25")
    peak = of(OURS, "peak_mb") or 0.0
    yield Wanted(f"{words}: executor's peak, MB", peak, f"at most {MOST_MB}")
    if (other := of("pandas", "peak_mb")) is not None:
        yield Wanted(f"{words}: peak memory / pandas'", peak / other, "at most 0.1")


def _linear(found: Medians) -> Iterable[Wanted]:
    """Seconds a row at each size over those at the size before."""
    sizes = [size for size in found.sizes() if size[0] == "long"]
    for smaller, larger in pairwise(sizes):
        for work in found.works(larger):
            less, more = found.get(smaller, work, OURS), found.get(larger, work, OURS)
            if less is not None and more is not None:
                ratio = (more / larger[1]) / (less / smaller[1])
                what = f"{work.replace('_', ' ')}: time a row, {_words(larger)} / {_words(smaller)}"
                yield Wanted(what, ratio, "at most 1.15")
