"""What metrics and the trace context cost a drain: with them, and without.

The CPU time per job is the figure to look at: it depends least on what else the machine does meanwhile.
"""

import argparse
from pathlib import Path

from harness import ADAPTERS, Adapter, Bench
from servers import PostgresServer

from benches.measuring import Found, Wanted, median

WITH, WITHOUT = "with", "without"


def measure(folder: Path, options: argparse.Namespace) -> Found:
    adapter = Adapter(ADAPTERS / "_telemetry.py")
    rates: dict[str, list[float]] = {name: [] for name in adapter.about.variants}
    spent: dict[str, list[float]] = {name: [] for name in adapter.about.variants}
    server = PostgresServer(folder)
    try:
        for round_ in range(options.rounds):
            # In turn from round to round: the first drain of a pair meets another machine than the second.
            for variant in adapter.about.variants[:: 1 if round_ % 2 else -1]:
                url = server.fresh()
                adapter("setup", url=url)
                bench, jobs = Bench(server, folder), adapter.about.jobs[variant]
                bench.enqueue_many(adapter, url, first=0, count=jobs)
                told = bench.drain(adapter, url, variant, jobs=jobs, workers=1)
                rates[variant].append(told.rate)
                spent[variant].append(told.worker_cpu + told.server_cpu)
    finally:
        server.stop()
    lines = ["| telemetry | drain, 1 worker /s | worker and server CPU s/1000 |", "|---|---:|---:|"]
    lines += [f"| {name} | {median(rates[name]):,.0f} | {median(spent[name]):.4f} |" for name in rates]
    ratios = [
        Wanted(
            "CPU time of a job with telemetry / without", median(spent[WITH]) / median(spent[WITHOUT]), "at most 1.03"
        ),
        Wanted("drain with telemetry / without", median(rates[WITH]) / median(rates[WITHOUT]), "at least 0.97"),
    ]
    return Found(
        "\n".join(lines), ratios, [{"variant": name, "drain": rates[name], "cpu": spent[name]} for name in rates]
    )
