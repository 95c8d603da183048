"""What each technique of the queue brings: drain and pick-up with all of them, and without one at a time."""

import argparse
from pathlib import Path

from harness import ADAPTERS, Adapter, Bench
from servers import PostgresServer

from benches.measuring import Found, median

ALL, ALL_FEW = "all", "all,_few_slots"
# How many jobs are put, without one technique of putting them.
PUT = {"enqueue_many": 20_000, "enqueue_decided_there": 20_000, "enqueue_one_by_one": 2_000}


def measure(folder: Path, options: argparse.Namespace) -> Found:
    adapter = Adapter(ADAPTERS / "_without.py")
    rates: dict[str, list[float]] = {}
    picked: dict[str, list[float]] = {}
    put: dict[str, list[float]] = {}
    server = PostgresServer(folder)
    try:
        for round_ in range(options.rounds):
            for variant in chosen(adapter.about.variants, options.only):
                print(f"round {round_ + 1}: without {variant}", flush=True)
                rate, p50 = once(Bench(server, folder), adapter, variant)
                rates.setdefault(variant, []).append(rate)
                picked.setdefault(variant, []).append(p50)
            for call, jobs in PUT.items():
                url = server.fresh()
                adapter("setup", url=url)
                bench = Bench(server, folder)
                put.setdefault(call, []).append(bench.enqueue_many(adapter, url, first=0, count=jobs, call=call))
    finally:
        server.stop()
    lines = ["| without | drain / with all | pick-up p50 / with all |", "|---|---:|---:|"]
    for name, found in rates.items():
        base = ALL_FEW if name.endswith("few_slots") else ALL
        drain = median(found) / median(rates[base])
        pick_up = median(picked[name]) / median(picked[base])
        lines.append(f"| {name.replace('_', ' ')} | {drain:.2f} | {pick_up:.2f} |")
    lines += ["", "| jobs put | rate / many at once |", "|---|---:|"]
    lines += [
        f"| {name.replace('_', ' ')} | {median(found) / median(put['enqueue_many']):.2f} |"
        for name, found in put.items()
    ]
    figures = [{"without": name, "drain": found, "p50_ms": picked[name]} for name, found in rates.items()]
    return Found("\n".join(lines), [], [*figures, {"put": put}])


def chosen(variants, only: list[str]) -> list[str]:
    """All, or those whose names begin so, and what they are compared with."""
    return [name for name in variants if not only or name.startswith((ALL, *only))]


def once(bench: Bench, adapter: Adapter, variant: str) -> tuple[float, float]:
    jobs = adapter.about.jobs[variant]
    url = bench.server.fresh()
    adapter("setup", url=url)
    bench.enqueue_many(adapter, url, first=0, count=jobs)
    told = bench.drain(adapter, url, variant, jobs=jobs, workers=1, pick_up=True)
    return told.rate, median(told.picked)
