"""A request's trace context is passed on as it came or not at all, and traces cost nothing where nobody wants them."""

import subprocess
import sys

import pytest
import structlog

from gristmill import tracing
from gristmill.errors import ConfigurationError
from gristmill.steps import Steps, step

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (GIVEN, GIVEN),
        (f" {GIVEN} ", GIVEN),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01-what-is-to-come", GIVEN),
        (None, None),
        ("", None),
        (GIVEN.upper(), None),
        (f"{GIVEN}-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"{GIVEN}\nSet-Cookie: a=b", None),
    ],
)
def test_a_header_is_passed_on_or_left(header: str | None, expected: str | None) -> None:
    assert tracing.accepted(header) == expected


def test_within_a_trace_jobs_carry_it_lines_name_it_and_steps_are_noted() -> None:
    noted = Steps()
    with tracing.within(GIVEN, noted):
        assert tracing.current() == GIVEN
        assert structlog.contextvars.get_contextvars()["trace_id"] == TRACE
        with step("first"):
            pass
        with pytest.raises(KeyError), step("second"):
            raise KeyError
    with step("outside"):
        pass
    assert [one.name for one in noted.noted] == ["first", "second"]
    assert all(one.began_ns <= one.ended_ns for one in noted.noted)
    assert tracing.current() is None
    assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    look = (
        "import sys, gristmill.__main__, gristmill.worker.child\n"
        "from gristmill.tracing import open_tracer\n"
        "assert open_tracer('test') is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'gristmill.otel'))])"
    )
    said = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"


def test_an_endpoint_without_the_extra_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:4318")
    monkeypatch.delitem(sys.modules, "gristmill.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"gristmill\[otel\]"):
        tracing.open_tracer("test")
