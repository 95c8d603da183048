"""A kind of job that only tests have, in real executors: a folder for PYTHONPATH whose processor misbehaves as told."""

from pathlib import Path

ENTER = """
import gristmill.processors
gristmill.processors.__path__.append({folder!r})
"""

MISBEHAVE = '''
import os
import signal
import tempfile
import time

import msgspec
import numpy as np

from gristmill.processors.contract import Planned, Processor


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    take_mb: int = 0
    step_mb: int = 16
    keep: bool = False
    die: bool = False
    freeze: bool = False
    seconds: float = 0


class Plan(Planned, frozen=True, kw_only=True):
    params: Params


class State(msgspec.Struct, frozen=True):
    plan: Plan


KEPT = []


class Misbehave(Processor[Params, Plan, State, State]):
    """Takes memory, waits, or ends, in the middle of the work."""

    kind = "misbehave"
    Params = Params
    example = {}

    def plan(self, columns, params):
        return Plan(params=params)

    def partial(self, frame, plan):
        frame.collect()
        return State(plan)

    def merge(self, states):
        return states[0]

    def finish(self, plan, state):
        params = plan.params
        with tempfile.NamedTemporaryFile(delete=False) as left:
            left.write(b"left behind")
        held = []
        for _ in range(params.take_mb // params.step_mb):
            held.append(np.ones(params.step_mb << 17))
            time.sleep(0.005)
        if params.keep:
            KEPT.extend(held)
        if params.die:
            os.kill(os.getpid(), signal.SIGKILL)
        if params.freeze:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(params.seconds)
        return state

    def report(self, plan, fitted):
        return {"pid": os.getpid()}
'''


def dropped_in(folder: Path) -> dict[str, str]:
    """The environment in which workers know the kind `misbehave`."""
    site, package = folder / "site", folder / "kinds"
    for made in (site, package):
        made.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(ENTER.format(folder=str(package)))
    (package / "misbehave.py").write_text(MISBEHAVE)
    return {"PYTHONPATH": str(site)}
