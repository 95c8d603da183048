"""Dashboard and alerts ask for metrics that exist, and every alert has its place in the runbook."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.reference import every_metric

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "deploy/grafana/gristmill.json").read_text("utf-8"))
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in RULES for rule in group["rules"]]
# Prometheus' own, and those that its client tells of every process.
OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
NAME = re.compile(r"\b(?:gristmill|process)_[a-z0-9_]+\b|\bup\b")
SELECTOR = re.compile(r"\b(gristmill_[a-z0-9_]+)(?:\{([^}]*)\})?")


def exposed() -> dict[str, set[str]]:
    """Every series → its labels."""
    found = {name: set(labels) for name, _, labels, _ in every_metric()}
    for name, kind, labels, _ in every_metric():
        if kind == "histogram":
            found |= {f"{name}_{part}": {*labels, "le"} for part in ("bucket", "sum", "count")}
    return found


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return panels + [alert["expr"] for alert in ALERTS]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_what_exists(expression: str) -> None:
    known = exposed()
    named = {name for name in NAME.findall(re.sub(r"\{[^}]*\}", "", expression)) if name not in OTHERS}
    assert named <= set(known), named - set(known)
    for name, selected in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selected)) <= known[name]
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    given = set().union(*(known[name] for name in named)) | {"instance", "job"}
    assert grouped <= given, grouped - given
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = set(NAME.findall(" ".join(expressions())))
    parts = ("", "_bucket", "_sum", "_count")
    unseen = [name for name, *_ in every_metric() if not any(name + part in asked for part in parts)]
    assert unseen == ["gristmill_build_info"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    sections = re.split(r"^## ", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE)[1:]
    told = {section.splitlines()[0].strip(): section.splitlines()[1:] for section in sections}
    assert anchor == alert["alert"].lower()
    assert any(line.strip() for line in told[alert["alert"]]), "the section is empty"
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"]


def test_the_runbook_tells_of_no_alert_that_is_gone() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in ALERTS)
