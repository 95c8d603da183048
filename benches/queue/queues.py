"""No-op jobs through each queue: enqueue, drain by one worker and by two, pick-up by an idle one, drain with a past."""

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

from harness import ADAPTERS, WARMUP, Adapter, Bench
from servers import PostgresServer, RedisServer, Server

from benches.measuring import Found, Wanted, median

FLOOR, OURS = "bare", "gristmill"
COLUMNS = {
    "one": "enqueue one /s",
    "bulk": "enqueue bulk /s",
    "drain": "drain, 1 worker /s",
    "drain2": "drain, 2 workers /s",
    "kept": "drain, finished kept /s",
    "p50": "pick-up p50 ms",
    "p99": "pick-up p99 ms",
    "worker": "worker CPU s/1000",
    "server": "server CPU s/1000",
    "wal": "log bytes/job",
}
SINGLES = 500
# There and back: the first on new pages pays for them.
SINGLE_CALLS = ("enqueue_one", "insert_one", "insert_one", "enqueue_one")
Figures = dict[tuple[str, str], dict[str, list[float]]]


def measure(folder: Path, options: argparse.Namespace) -> Found:
    """Round after round over all of them: a slow minute of the machine touches all alike."""
    adapters = chosen(options.only)
    figures: Figures = defaultdict(lambda: defaultdict(list))
    servers = start_servers(folder, {adapter.about.backend for adapter in adapters})
    try:
        for round_ in range(options.rounds):
            for adapter in adapters:
                bench = Bench(servers[adapter.about.backend], folder)
                for variant in adapter.about.variants:
                    print(f"round {round_ + 1}: {adapter.name}, {variant}", flush=True)
                    one_round(bench, adapter, variant, figures[adapter.name, variant])
        for adapter in adapters if options.history else []:
            if adapter.about.history:
                with_history(Bench(servers[adapter.about.backend], folder), adapter, options, figures)
    finally:
        for server in servers.values():
            server.stop()
    return Found(
        table=table(figures),
        ratios=ratios(figures),
        figures=[{"queue": queue, "variant": variant, **found} for (queue, variant), found in figures.items()],
    )


def chosen(only: list[str]) -> list[Adapter]:
    paths = sorted(path for path in ADAPTERS.glob("[!_]*.py") if not only or path.stem.startswith(tuple(only)))
    adapters = [Adapter(path) for path in paths]
    if shutil.which("redis-server") is None:
        left_out = [adapter.name for adapter in adapters if adapter.about.backend == "redis"]
        print(f"redis-server is not installed; left out: {', '.join(left_out)}")
        adapters = [adapter for adapter in adapters if adapter.about.backend != "redis"]
    return adapters


def start_servers(folder: Path, backends: set[str]) -> dict[str, Server]:
    makers = {"postgres": PostgresServer, "redis": RedisServer}
    return {backend: makers[backend](folder) for backend in sorted(backends)}


def one_round(bench: Bench, adapter: Adapter, variant: str, to: dict[str, list[float]]) -> None:
    jobs = adapter.about.jobs[variant]
    url = bench.server.fresh()
    adapter("setup", url=url)
    waiting = 0
    for call in SINGLE_CALLS if adapter.about.insert else SINGLE_CALLS[:1]:
        name = "one" if call == "enqueue_one" else "insert"
        to[name].append(bench.enqueue_one(adapter, url, first=waiting, count=SINGLES, call=call))
        waiting += SINGLES + WARMUP
    rate = bench.enqueue_many(adapter, url, first=waiting, count=jobs - waiting)
    if adapter.about.bulk:
        to["bulk"].append(rate)
    told = bench.drain(adapter, url, variant, jobs=jobs, workers=1, pick_up=True)
    to["drain"].append(told.rate)
    to["worker"].append(told.worker_cpu)
    to["server"].append(told.server_cpu)
    to["wal"].append(told.log_bytes)
    to["p50"].append(told.picked[len(told.picked) // 2])
    to["p99"].append(told.picked[int(len(told.picked) * 0.99) - 1])
    to["drain2"].append(drained(bench, adapter, variant, workers=2))


def drained(bench: Bench, adapter: Adapter, variant: str, *, workers: int) -> float:
    """The rate of a drain that begins with nothing but its jobs in the tables."""
    jobs = adapter.about.jobs[variant]
    url = bench.server.fresh()
    adapter("setup", url=url)
    bench.enqueue_many(adapter, url, first=0, count=jobs)
    return bench.drain(adapter, url, variant, jobs=jobs, workers=workers).rate


def with_history(bench: Bench, adapter: Adapter, options: argparse.Namespace, figures: Figures) -> None:
    """Each drain among finished jobs right after one without them."""
    variant = adapter.about.variants[0]
    jobs = adapter.about.jobs[variant]
    past = bench.server.fresh("past")
    adapter("setup", url=past)
    adapter("history", url=past, count=options.history)
    for round_ in range(options.rounds):
        print(f"with a past, round {round_ + 1}: {adapter.name}", flush=True)
        figures[adapter.name, variant]["without"].append(drained(bench, adapter, variant, workers=1))
        bench.enqueue_many(adapter, past, first=0, count=jobs)
        figures[adapter.name, variant]["kept"].append(bench.drain(adapter, past, variant, jobs=jobs, workers=1).rate)


def table(figures: Figures) -> str:
    lines = ["| queue | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for (queue, variant), found in figures.items():
        cells = [f"{median(found[name]):,.4g}" if found.get(name) else "–" for name in COLUMNS]
        lines.append(f"| {queue}, {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(figures: Figures) -> list[Wanted]:
    """Ours against the best peer and the bare loop of the same run; none without them."""
    ours = [found for (queue, _), found in figures.items() if queue == OURS]
    peers = [found for (queue, _), found in figures.items() if queue not in (OURS, FLOOR)]
    floor = next((found for (queue, _), found in figures.items() if queue == FLOOR), None)
    if not ours or floor is None:
        return []
    best = ours[0]
    rows = [
        Wanted("drain / bare loop", median(best["drain"]) / median(floor["drain"]), "at least 0.7"),
        Wanted("two workers / one", median(best["drain2"]) / median(best["drain"]), "at least 1.6"),
        Wanted("time of one enqueue / bare INSERT", median(best["insert"]) / median(best["one"]), "at most 1.15"),
        Wanted("pick-up p99 / own p50", median(best["p99"]) / median(best["p50"]), "under 2"),
    ]
    if best.get("kept"):
        rows.append(Wanted("1 M finished / none", median(best["kept"]) / median(best["without"]), "at least 0.95"))
    if peers:
        top = {name: max(median(found[name]) for found in peers if found.get(name)) for name in ("drain", "bulk")}
        soonest = min(median(found["p50"]) for found in peers)
        rows += [
            Wanted("drain / best peer", median(best["drain"]) / top["drain"], "at least 2"),
            Wanted("bulk enqueue / best peer", median(best["bulk"]) / top["bulk"], "at least 1"),
            Wanted("pick-up p50 / best peer", median(best["p50"]) / soonest, "at most 1"),
        ]
    return rows
