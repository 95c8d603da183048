"""Where webhooks may go, how they are signed, and when they are tried again."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from random import Random
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from gristmill.domain.webhook import DELAYS_S, JITTER, checked_url, delay_s, headers, is_secret, may_go_to, new_secret
from gristmill.errors import InvalidRequest

FORBIDDEN = [
    "0.0.0.0",  # noqa: S104 (nobody listens there)
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # metadata of cloud machines
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_nothing_is_sent_there(address: str) -> None:
    assert not may_go_to(ip_address(address), (), secure=True)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidRequest) as told:
        checked_url(f"https://{host}/hook", ())
    assert [fault.pointer for fault in told.value.errors] == ["/url"]


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_open_internet_is_reached_encrypted_alone(address: str) -> None:
    assert may_go_to(ip_address(address), (), secure=True)
    assert not may_go_to(ip_address(address), (), secure=False)
    assert not may_go_to(ip_address(address), [ip_network("127.0.0.0/8")], secure=False)


def test_the_operators_networks_are_reached() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    for address, may in (("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("fd00::1", True), ("10.2.0.1", False)):
        assert may_go_to(ip_address(address), allowed, secure=False) is may
    assert checked_url("http://10.1.2.3:8080/hook", allowed)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "http://example.org/",
        "https://user:secret@example.org/",
        "https://user@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://[::1/",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://bücher.example/",
        "https://example.org/" + "a" * 2000,
    ],
)
def test_what_is_no_url_for_it_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_url(url, ())


def test_a_receiver_that_knows_the_specification_accepts_both_secrets_while_they_rotate() -> None:
    old, new = new_secret(), new_secret()
    body = b'{"type": "job.completed"}'
    sent = headers(uuid4(), datetime.now(UTC), body, [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(body, sent) == {"type": "job.completed"}
    with pytest.raises(Exception, match="signature"):
        Webhook(new_secret()).verify(body, sent)
    with pytest.raises(Exception, match="signature"):
        Webhook(new).verify(body + b" ", sent)


def test_retries_follow_the_schedule_with_jitter_and_end() -> None:
    rng = Random(1)
    for attempts, planned in enumerate(DELAYS_S, start=1):
        told = delay_s(attempts, rng)
        assert told is not None
        assert planned <= told <= planned * (1 + JITTER)
    assert delay_s(len(DELAYS_S) + 1, rng) is None
    asked = delay_s(1, rng, asked_s=60)
    assert asked is not None
    assert asked >= 60


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        pytest.param(new_secret(), True, id="a new one"),
        ("whsec_", False),
        ("whsec_!!", False),
        ("secret", False),
        ("whsec_aaa", False),
    ],
)
def test_secrets_have_the_form_of_the_specification(text: str, *, fits: bool) -> None:
    assert is_secret(text) is fits
