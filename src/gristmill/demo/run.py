"""Starts a whole Gristmill on this machine, takes the tour, shows what came out, and stops everything again."""

import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from signal import Signals

import msgspec
import polars as pl
from rich.console import Console
from rich.text import Text

from gristmill.client import Client, ClientError
from gristmill.demo import picture, report
from gristmill.demo.tour import SPEED, Findings, tour
from gristmill.errors import GristmillError
from gristmill.processes import Processes, Program
from gristmill.shown.board import Board
from gristmill.shown.chart import chart
from gristmill.shown.figures import size
from gristmill.shown.histogram import histogram

BESIDE = ("Aircraft Make Model", "Phase of flight", "Wildlife Species")
WIDEST = 110
SOFT_STOP_S = 5.0
FAILED, INTERRUPTED = 1, 130
SIGNAL = 128

Prepared = Callable[[], AbstractContextManager[Mapping[str, str]]]


def run_demo(prepared: Prepared, out: Path, *, as_json: bool = False) -> int:
    """Run the demo; answers the exit code.

    `prepared` holds PostgreSQL and S3, ready for use, and yields the environment that leads a child process to them.
    Results, logs and the picture go into `out`. `as_json`: what came out is a JSON document on standard output, and all
    that is for people goes to standard error.
    """
    console = Console(stderr=as_json)
    console.width = min(console.width, WIDEST)
    started = time.monotonic()
    try:
        findings = _demo(prepared, out, console)
        _show(findings, out, console)
    except (GristmillError, ClientError, OSError) as error:
        detail = error.detail if isinstance(error, GristmillError) else str(error)
        sys.stdout.flush()
        sys.stderr.write(f"gristmill demo: {detail}\n")
        return FAILED
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code > SIGNAL:
            sys.stderr.write(f"gristmill demo: stopped by {Signals(stop.code - SIGNAL).name}\n")
        raise
    except KeyboardInterrupt:
        sys.stderr.write("gristmill demo: interrupted\n")
        return INTERRUPTED
    console.print(f"\nDone in {time.monotonic() - started:.1f} s.", highlight=False)
    if as_json:
        sys.stdout.write(_document(findings) + "\n")
    return 0


def _demo(prepared: Prepared, out: Path, console: Console) -> Findings:
    out.mkdir(parents=True, exist_ok=True)
    with Board(console) as board:
        board.show("services", "PostgreSQL and S3 start")
        with prepared() as environment, Processes() as processes:
            board.finish("services", "PostgreSQL and S3 are ready")
            with _api(processes, environment, out, board) as client:
                findings = tour(client, board, out, check=processes.check)
            board.show("stop", "everything stops")
        board.finish("stop", "everything is stopped again")
    return findings


def _document(findings: Findings) -> str:
    """What came out, on one line."""
    files = [
        {"kind": found.kind, "path": str(found.path), "size_bytes": found.size_bytes, "sha256": found.sha256}
        for found in findings.downloads
    ]
    reports = {kind: result.report for kind, result in findings.results.items()}
    return msgspec.json.encode({"dataset": findings.dataset, "reports": reports, "files": files}).decode()


@contextmanager
def _api(processes: Processes, environment: Mapping[str, str], out: Path, board: Board) -> Iterator[Client]:
    """A client of an API on a free port, with a worker behind it."""
    port = _free_port()
    ours = {**environment, "API_HOST": "127.0.0.1", "API_PORT": str(port), "SOFT_STOP_S": str(SOFT_STOP_S)}
    board.show("server", "API and worker start")
    for name in ("api", "worker"):
        log = out / f"{name}.log"
        log.unlink(missing_ok=True)
        # In a folder of its own, it does not read the `.env` of a deployment that lies where we were started.
        program = Program(name, [sys.executable, "-m", "gristmill", name], ours, log=log, folder=out)
        processes.start(program)
    with Client(f"http://127.0.0.1:{port}", api_key=environment.get("BOOTSTRAP_API_KEY")) as client:
        processes.wait_ready("api", client.ready)
        board.finish("server", f"API and worker run, port {port}")
        yield client


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _show(findings: Findings, out: Path, console: Console) -> None:
    reports = {kind: result.report for kind, result in findings.results.items()}
    flagged = pl.read_parquet(findings.table("anomalies", "anomalies.parquet"))
    speeds = chart(SPEED, metrics=reports["metrics"], anomalies=reports["anomalies"], flagged=flagged)
    rows = findings.dataset.rows_loaded or 0
    source = f"{rows:,} rows; FAA Wildlife Strike Database, by way of vega-datasets"
    file = picture.draw(speeds, out / "anomalies.png", title="Bird strikes: which speeds stand out?", source=source)
    for words, shown in (
        ("Dataset", report.dataset_lines(findings.dataset, reports["metrics"])),
        ("Metrics", report.metrics_tables(reports["metrics"])),
        ("Anomalies", report.anomalies_tables(reports["anomalies"], flagged, beside=BESIDE)),
        ("Speeds", histogram(speeds, width=console.width)),
        ("Normalize", report.normalize_table(reports["normalize"])),
    ):
        console.print(report.heading(words), shown, highlight=False)
    console.print(report.heading("Files, downloaded and checked against their SHA-256"))
    for found in findings.downloads:
        line = f"{found.path}  {size(found.size_bytes)}  sha256 {found.sha256[:12]}…"
        console.print(Text(line), soft_wrap=True)
    console.print(Text(f"\nPicture: {file}", style="bold"), soft_wrap=True)
