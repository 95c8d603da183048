"""docs/reverse-proxy.md names settings that exist, and its proxies keep what the API promises."""

import re
from pathlib import Path

import pytest

from gristmill.api.conditions import MAX_WAIT_S
from gristmill.api.stream import COMMENT_S
from gristmill.settings import Settings

DOCUMENT = (Path(__file__).parents[1] / "docs" / "reverse-proxy.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", DOCUMENT, re.DOTALL))


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:API|MAX|UPLOAD|RATE|ALLOWED|S3|CORS)_[A-Z_]+[A-Z]\b", DOCUMENT))
    assert "ALLOWED_HOSTS" in named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_braces_are_balanced() -> None:
    for language in ("nginx", "caddy"):
        assert BLOCKS[language].count("{") == BLOCKS[language].count("}"), language


@pytest.mark.parametrize(
    "directive",
    ["proxy_buffering off;", "proxy_request_buffering off;", "client_max_body_size 0;", "proxy_set_header Host $host;"],
)
def test_nginx_streams_both_ways_and_passes_the_host(directive: str) -> None:
    assert directive in BLOCKS["nginx"]


def test_caddy_flushes_at_once() -> None:
    assert "flush_interval -1" in BLOCKS["caddy"]


def test_time_outs_are_longer_than_the_longest_silence() -> None:
    silence = max(COMMENT_S, MAX_WAIT_S)
    told = re.findall(r"(?:proxy_read_timeout|response_header_timeout) (\d+)s", DOCUMENT)
    assert len(told) == 2
    assert all(int(seconds) > silence for seconds in told)
    assert f"a wait may last\n  {MAX_WAIT_S:g} s" in DOCUMENT
