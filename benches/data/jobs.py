"""Every processor on a dataset that is ready, and its ingest; each beside its peers, round by round.

Ours is timed by the database, from the claim to the commit. A peer is timed by itself, from its first call of S3 to the
end of its last upload, without its start and imports.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import generate
import tables
from harness import PEERS, Broken, Script, alike, scripts
from product import Dataset, Measured, Product

from benches.measuring import Found

OURS = "gristmill"
WORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "metrics": ("metrics", {}),
    "zscore": ("anomalies", {"method": "zscore"}),
    "modified_zscore": ("anomalies", {"method": "modified_zscore"}),
    "hbos": ("anomalies", {"method": "hbos"}),
    "copod": ("anomalies", {"method": "copod"}),
    "ecod": ("anomalies", {"method": "ecod"}),
    "isolation_forest": ("anomalies", {"method": "isolation_forest"}),
    "scale_zscore": ("normalize", {"steps": [{"op": "scale", "method": "zscore"}]}),
    "scale_robust": ("normalize", {"steps": [{"op": "scale", "method": "robust"}]}),
    "scale_minmax": ("normalize", {"steps": [{"op": "scale", "method": "minmax"}]}),
}
USUAL = [work for work in WORKS if work not in ("copod", "isolation_forest", "scale_minmax")]
INGESTS = ("csv", "parquet")
# The others are variants of these: they are measured when they are named.
PEOPLE_USE = ("polars_", "duckdb_", "pandas_", "sklearn_", "pyod_")
WIDE = ("metrics", "zscore", "scale_zscore")


def measure(folder: Path, options: argparse.Namespace) -> Found:
    return _measure(folder, options, "long", options.rows, options.works)


def measure_wide(folder: Path, options: argparse.Namespace) -> Found:
    """500 columns: 490 numbers, ten texts."""
    chosen = [work for work in options.works if work in WIDE]
    return _measure(folder, options, "wide", [options.wide_rows], chosen or list(WIDE))


def _measure(folder: Path, options: argparse.Namespace, shape: str, sizes: list[int], works: list[str]) -> Found:
    chosen = [path for path in scripts(PEERS) if wanted(path.stem, options.only)]
    peers = [Script(path) for path in chosen]
    ours = wanted(OURS, options.only)
    figures: list[dict[str, Any]] = []
    with Product.open(folder, executors=options.executors) as product:
        for rows in sizes:
            bench = _Bench(product, peers, folder, shape, rows, ours=ours)
            for line in bench.rounds(options.rounds, works, options.ingest):
                figures.append(line)
                options.keep(line)
                print(f"  {line['who']} {line['work']}: {line.get('seconds', line.get('broken'))}", flush=True)
    return Found(tables.jobs(figures), tables.ratios(figures), figures)


def wanted(name: str, only: list[str]) -> bool:
    """Whether it is named, or is one of the usual where nobody is."""
    if not only:
        return name == OURS or name in PEOPLE_USE
    return any(name.startswith(beginning) for beginning in only)


class _Bench:
    """One size of data."""

    def __init__(
        self, product: Product, peers: list[Script], folder: Path, shape: str, rows: int, *, ours: bool
    ) -> None:
        self._product, self._peers, self._folder, self._ours = product, peers, folder, ours
        self._name = f"{shape}-{rows}"
        self._about = {"part": "jobs", "shape": shape, "rows": rows}
        self._shape, self._rows = shape, rows
        self._works = {peer: set(peer("describe")) for peer in peers}
        self._checks: dict[str, dict[str, float]] = {}

    def rounds(self, rounds: int, works: list[str], ingests: list[str]) -> Iterator[dict[str, Any]]:
        """One line a measurement. What each round begins with changes, so that none is always the first."""
        dataset = self._product.ready(self._name)
        if dataset is None:
            dataset, measured = self._product.ingest(self._name, self._file("csv"))
            print(f"{self._name}: ready, {measured.seconds:.1f} s", flush=True)
        for round_ in range(1, rounds + 1):
            print(f"{self._name}, round {round_}", flush=True)
            for form in ingests if self._ours else ():
                yield self._line(OURS, f"ingest {form}", round_, **self._ingested(form))
            for work in works:
                candidates: list[Script | None] = [None] if self._ours else []
                candidates += [peer for peer in self._peers if work in self._works[peer]]
                turn = (round_ - 1) % max(1, len(candidates))
                for peer in candidates[turn:] + candidates[:turn]:
                    told = self._own(work, dataset) if peer is None else self._peer(peer, work, dataset)
                    yield self._line(OURS if peer is None else peer.name, work, round_, **told)

    def _line(self, who: str, work: str, round_: int, **told: Any) -> dict[str, Any]:
        return {**self._about, "who": who, "work": work, "round": round_, "load": os.getloadavg()[0], **told}

    def _file(self, form: str) -> Path:
        path = self._folder / f"{self._name}.{form}"
        generate.write(self._shape, self._rows, path)
        return path

    def _ingested(self, form: str) -> dict[str, Any]:
        dataset, measured = self._product.ingest(f"{self._name}, again {time.monotonic_ns()}", self._file(form))
        self._product.remove(dataset)
        return _told(measured)

    def _own(self, work: str, dataset: Dataset) -> dict[str, Any]:
        kind, params = WORKS[work]
        try:
            measured = self._product.run(kind, params, dataset)
        except Broken as error:
            return {"broken": str(error)}
        self._compare(OURS, work, checks(kind, measured.report))
        return _told(measured)

    def _peer(self, peer: Script, work: str, dataset: Dataset) -> dict[str, Any]:
        prefix = f"bench/{self._name}/{peer.name}/{work}/"
        given = [work, "--csv", dataset.original, "--prefix", prefix, "--parts", *dataset.parts]
        try:
            begun = time.monotonic()
            told = dict(peer(*given, environment=self._product.environment))
            told["process_s"] = time.monotonic() - begun
        except Broken as error:
            return {"broken": str(error)}
        self._compare(peer.name, work, told.pop("checks"))
        return told

    def _compare(self, who: str, work: str, found: dict[str, float]) -> None:
        """All must have computed the same: what one found is held against what the first found."""
        first = self._checks.setdefault(work, found)
        assert alike(first, found), f"{who}, {work}: {found}, and not {first}"
        self._checks[work] = {**found, **first}


def _told(measured: Measured) -> dict[str, Any]:
    return {"seconds": measured.seconds, "cpu_s": measured.cpu_s, "peak_mb": measured.peak_mb}


def checks(kind: str, report: dict[str, Any]) -> dict[str, float]:
    """A few figures of a report, named as the peers name theirs."""
    match kind:
        case "metrics":
            first = next(column for column in report["columns"] if "mad" in column)
            return {"rows": report["rows"], "median": first["quantiles"]["50%"], "mad": first["mad"]}
        case "anomalies":
            bounded = report["method"] in ("zscore", "modified_zscore")
            return {"rows": report["rows_in"]} | ({"flagged": report["rows_flagged"]} if bounded else {})
        case _:
            return {"rows": report["rows_in"]}
