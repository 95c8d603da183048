"""The same work has the same key, however it is written; anything else has another."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gristmill.domain.reuse import dataset_digest, reuse_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARAMS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


def key(params: object, digest: str = "d", kind: str = "metrics", version: int = 1) -> str:
    return reuse_key(digest, kind=kind, version=version, params=json.dumps(params).encode())


@given(params=PARAMS)
def test_the_order_of_fields_does_not_matter(params: dict[str, object]) -> None:
    assert key(params) == key(dict(reversed(params.items())))


@given(one=PARAMS, other=PARAMS)
def test_other_params_are_other_work(one: dict[str, object], other: dict[str, object]) -> None:
    # As JSON: for Python, 1 and True are equal.
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key(one) == key(other)) == same


def test_other_data_kind_or_version_is_other_work() -> None:
    keys = {key({}), key({}, digest="e"), key({}, kind="anomalies"), key({}, version=2)}
    assert len(keys) == 4


def test_a_dataset_read_otherwise_is_other_data() -> None:
    digests = {
        dataset_digest(sha256=sha256, data_format=data_format, options=options)
        for sha256 in ("a", "b")
        for data_format in ("csv", "ndjson")
        for options in (b"{}", b'{"delimiter": ";"}')
    }
    assert len(digests) == 8
