"""`make bench-queue`: our queue and its peers on one server in one run; prints a table and the ratios to the targets.

make bench-queue                                # all, three rounds
make bench-queue ARGS="--only bare gristmill --rounds 1"
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

from harness import ADAPTERS, Adapter, Bench, Server, median

SERVER_BASE, OURS = "bare", "gristmill"
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
    "wal": "WAL bytes/1000",
}
Figures = dict[tuple[str, str], dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="adapters, by the beginnings of their names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--history", type=int, default=1_000_000, help="finished jobs to keep; 0: leave that out")
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON lines")
    options = parser.parse_args()
    paths = sorted(path for path in ADAPTERS.glob("[!_]*.py"))
    adapters = [Adapter(path) for path in paths if not options.only or path.stem.startswith(tuple(options.only))]
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="queue bench ") as name:
        server = Server(Path(name))
        try:
            bench = Bench(server, Path(name))
            # Round after round over all of them: a slow minute of the machine touches all alike.
            for round_ in range(options.rounds):
                for adapter in adapters:
                    for variant in adapter.about["jobs"]:  # type: ignore[attr-defined]
                        print(f"round {round_ + 1}: {adapter.name}, {variant}", flush=True)
                        measure(server, bench, adapter, variant, figures[adapter.name, variant])
            for adapter in adapters if options.history else []:
                if adapter.about["history"]:
                    with_history(server, bench, adapter, options.history, options.rounds, figures)
        finally:
            server.stop()
    if options.out:
        lines = [json.dumps({"queue": q, "variant": v, **found}) for (q, v), found in figures.items()]
        options.out.write_text("\n".join(lines) + "\n")
    print(table(figures))
    print(ratios(figures))


def measure(server: Server, bench: Bench, adapter: Adapter, variant: str, to: dict[str, list[float]]) -> None:
    jobs = adapter.about["jobs"][variant]  # type: ignore[index]
    url = server.fresh()
    adapter("setup", url=url)
    to["one"].append(bench.enqueue_one(adapter, url))
    waiting = 510
    to["bulk"].append(bench.enqueue_many(adapter, url, first=waiting, count=jobs - waiting))
    picked: list[float] = []
    told = bench.drain(
        adapter, url, variant, jobs=jobs, workers=1, after=lambda *given: picked.extend(bench.pick_up(*given))
    )
    assert told.repeats == 0, "a job was run twice"
    to["drain"].append(told.rate)
    to["worker"].append(told.worker_cpu)
    to["server"].append(told.server_cpu)
    to["wal"].append(told.wal_bytes)
    to["p50"].append(picked[len(picked) // 2])
    to["p99"].append(picked[int(len(picked) * 0.99) - 1])
    url = server.fresh()
    adapter("setup", url=url)
    bench.enqueue_many(adapter, url, first=0, count=jobs)
    to["drain2"].append(bench.drain(adapter, url, variant, jobs=jobs, workers=2).rate)


def with_history(server: Server, bench: Bench, adapter: Adapter, kept: int, rounds: int, figures: Figures) -> None:
    url = server.fresh()
    adapter("setup", url=url)
    adapter("history", url=url, count=kept)
    variant, jobs = next(iter(adapter.about["jobs"].items()))  # type: ignore[attr-defined]
    for _ in range(rounds):
        bench.enqueue_many(adapter, url, first=0, count=jobs)
        rate = bench.drain(adapter, url, variant, jobs=jobs, workers=1).rate
        figures[adapter.name, variant]["kept"].append(rate)


def table(figures: Figures) -> str:
    lines = ["| queue | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for (queue, variant), found in figures.items():
        cells = [f"{median(found[name]):,.4g}" if found.get(name) else "–" for name in COLUMNS]
        lines.append(f"| {queue}, {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(figures: Figures) -> str:
    """Ours against the best peer and the bare loop of the same run; empty without them."""
    ours = [found for (queue, _), found in figures.items() if queue == OURS]
    peers = [found for (queue, _), found in figures.items() if queue not in (OURS, SERVER_BASE)]
    bare = next((found for (queue, _), found in figures.items() if queue == SERVER_BASE), None)
    if not ours or not peers or bare is None:
        return ""
    best = max(ours, key=lambda found: median(found["drain"]))

    def top(name: str) -> float:
        return max(median(found[name]) for found in peers)

    rows = [
        ("drain / best peer", median(best["drain"]) / top("drain"), "at least 2"),
        ("drain / bare loop", median(best["drain"]) / median(bare["drain"]), "at least 0.7"),
        ("two workers / one", median(best["drain2"]) / median(best["drain"]), "at least 1.6"),
        ("bulk enqueue / best peer", median(best["bulk"]) / top("bulk"), "at least 1"),
        ("pick-up p50 / best peer", median(best["p50"]) / min(median(f["p50"]) for f in peers), "at most 1"),
        ("pick-up p99 / own p50", median(best["p99"]) / median(best["p50"]), "under 2"),
    ]
    if best.get("kept"):
        rows.append(("finished kept / empty", median(best["kept"]) / median(best["drain"]), "at least 0.95"))
    lines = ["", "| ratio | found | wanted |", "|---|---:|---|"]
    return "\n".join(lines + [f"| {what} | {found:.2f} | {wanted} |" for what, found, wanted in rows])


if __name__ == "__main__":
    main()
