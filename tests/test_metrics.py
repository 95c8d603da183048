"""Every metric has a usual name, a description and bounded labels; distributions count as a histogram does."""

import re

import pytest
from prometheus_client import generate_latest

from docs.reference import every_metric
from gristmill import metrics
from gristmill.metrics import Distribution, Kinds
from tests.exposition import parsed

LABELS = {"kind", "state", "outcome", "code", "status", "direction", "reason", "operation", "version"}
UNITS = ("_seconds", "_bytes")
NUMBERS = [0.0004, 0.001, 0.0011, 0.05, 3.0, 7.0, 4000.0]


@pytest.mark.parametrize("metric", list(every_metric()), ids=lambda metric: metric[0])
def test_a_metric_is_named_as_usual_and_told(metric: tuple[str, str, tuple[str, ...], str]) -> None:
    name, kind, labels, what = metric
    assert re.fullmatch(r"gristmill_[a-z0-9_]+", name)
    assert name.endswith("_total") == (kind == "counter")
    assert kind != "histogram" or name.endswith(UNITS)
    assert set(labels) <= LABELS
    assert what.endswith(".")


def test_many_values_at_once_count_as_one_by_one() -> None:
    apart = Distribution("test_apart_seconds", "Apart.", ("kind",), bounds=metrics.SECONDS)
    together = Distribution("test_together_seconds", "Together.", ("kind",), bounds=metrics.SECONDS)
    for number in NUMBERS:
        apart.observe(number, "a")
    together.observe_all(NUMBERS[::-1], "a")
    found = parsed(generate_latest(metrics.REGISTRY).decode())
    for name in ("test_apart_seconds", "test_together_seconds"):
        assert found[f'{name}_count{{kind="a"}}'] == len(NUMBERS)
        assert found[f'{name}_sum{{kind="a"}}'] == pytest.approx(sum(NUMBERS))
        told = {bound: found[f'{name}_bucket{{kind="a",le="{bound}"}}'] for bound in (*metrics.SECONDS, "+Inf")}
        assert told == {
            bound: sum(number <= float(str(bound)) for number in NUMBERS) for bound in (*metrics.SECONDS, "+Inf")
        }
    for made in (apart, together):
        metrics.REGISTRY.unregister(made)


def test_what_one_process_counted_is_told_once_by_another() -> None:
    here = Distribution("test_here_seconds", "Here.", ("operation",), bounds=(1.0, 2.0))
    there = Distribution("test_there_seconds", "There.", ("operation",), bounds=(1.0, 2.0))
    there.observe_all([0.5, 1.5, 9.0], "PutObject")
    here.observe(0.7, "PutObject")
    here.give(there.take())
    here.give(there.take())
    found = parsed(generate_latest(metrics.REGISTRY).decode())
    assert found['test_here_seconds_bucket{le="1.0",operation="PutObject"}'] == 2
    assert found['test_here_seconds_count{operation="PutObject"}'] == 4
    assert not any(name.startswith("test_there_seconds_count") for name in found)
    for made in (here, there):
        metrics.REGISTRY.unregister(made)


def test_kinds_that_anybody_may_make_up_are_bounded() -> None:
    kinds = Kinds()
    labels = {kinds.label(f"made-up-{n}") for n in range(1000)}
    assert len(labels) == metrics.MOST_KINDS + 1
    assert metrics.OTHER in labels
    assert kinds.label("made-up-0") == "made-up-0"
