"""A key whose answer was lost is nobody's: the client has another one in its place."""

import json

from gristmill import Client
from gristmill.client import Retry
from tests.client.canned import Answer, document, serving

KEY = {"owner": "ann", "scopes": ["read"], "status": "active", "created_at": "2026-01-02T03:04:05Z"}
AWAY = Answer(b"", 503, {"Retry-After": "0"})
AT_ONCE = Retry(base_s=0.0)


def test_where_an_answer_was_lost_another_secret_is_asked_for() -> None:
    lost = document({**KEY, "id": "lost", "key": None}, **{"Idempotent-Replayed": "true"})
    told = document({**KEY, "id": "new", "key": "gm_new_secret"})
    with serving(AWAY, lost, told) as api, Client(api.url, retry=AT_ONCE) as client:
        made = client.create_key("ann", scopes=["read"])
    assert (made.id, made.key) == ("new", "gm_new_secret")
    assert [request.line for request in api.asked] == ["POST /keys", "POST /keys", "POST /keys/lost/rotate"]
    first, again, rotation = api.asked
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"] != rotation.headers["Idempotency-Key"]
    assert json.loads(rotation.body) == {"overlap_s": 0}


def test_what_a_rotated_key_replaces_is_the_one_that_was_named() -> None:
    old, middle = {**KEY, "id": "old"}, {**KEY, "id": "middle"}
    lost = document({**middle, "key": None, "replaces": old})
    told = document({**KEY, "id": "new", "key": "gm_new_secret", "replaces": middle})
    with serving(AWAY, lost, told) as api, Client(api.url, retry=AT_ONCE) as client:
        made = client.rotate_key("old", overlap_s=3600)
    assert made.key == "gm_new_secret"
    assert made.replaces is not None
    assert made.replaces.id == "old"
    assert json.loads(api.asked[0].body) == {"overlap_s": 3600}
