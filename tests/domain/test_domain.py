"""The rules of jobs, outcomes and keys hold for every value they can take."""

import random
from itertools import pairwise
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.domain.dataset import Ingested
from gristmill.domain.job import TRANSITIONS, JobStatus
from gristmill.domain.key import Scope, make_key, split_token
from gristmill.domain.manifest import ingest_prefix, part_name, result_prefix
from gristmill.domain.outcome import OUTCOME_NAMES, Failed, Outcome, Retry, outcome_name
from gristmill.domain.retry import after_failure, backoff_s
from gristmill.errors import BadData, GristmillError

PROBLEM = BadData("x").problem()


@given(attempt=st.integers(1, 10_000), base=st.floats(0.01, 100), cap=st.floats(0.01, 10_000), seed=st.integers())
def test_backoff_is_never_negative_and_never_over_its_ceiling(attempt: int, base: float, cap: float, seed: int) -> None:
    delay = backoff_s(attempt, base_s=base, cap_s=cap, rng=random.Random(seed))
    assert 0 <= delay <= min(cap, base * 2 ** min(attempt - 1, 62))


def test_backoff_grows_and_differs() -> None:
    rng = random.Random(1)
    means = [sum(backoff_s(n, base_s=1, cap_s=300, rng=rng) for _ in range(500)) / 500 for n in (1, 3, 5)]
    assert all(later > 2 * earlier for earlier, later in pairwise(means))
    assert len({backoff_s(5, base_s=1, cap_s=300, rng=rng) for _ in range(50)}) == 50


@given(attempt=st.integers(1, 100), max_attempts=st.integers(1, 100), permanent=st.booleans())
def test_a_failure_is_retried_only_while_it_can_help(attempt: int, max_attempts: int, *, permanent: bool) -> None:
    outcome = after_failure(PROBLEM, permanent=permanent, attempt=attempt, max_attempts=max_attempts, delay_s=1.5)
    if permanent or attempt >= max_attempts:
        assert outcome == Failed(PROBLEM)
    else:
        assert outcome == Retry(PROBLEM, 1.5)


def test_final_states_lead_nowhere_and_all_others_lead_to_one() -> None:
    for status in JobStatus:
        assert status.final == (status in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})
        assert status.final or any(after.final for after in TRANSITIONS[status])


def test_outcomes_are_named_as_the_schema_names_them() -> None:
    assert tuple(kind.__struct_config__.tag for kind in get_args(Outcome)) == OUTCOME_NAMES
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(Retry(PROBLEM, 2.0)), type=Outcome)
    assert outcome_name(decoded) == "retry"


def test_rows_that_do_not_balance_can_not_be_said() -> None:
    with pytest.raises(ValueError, match="5 rows read, 3 loaded, 1 rejected"):
        Ingested((), rows_read=5, rows_loaded=3, rows_rejected=1)


def test_two_attempts_never_share_a_key() -> None:
    assert result_prefix("j", 1) != result_prefix("j", 2)
    assert ingest_prefix("d", 1) != ingest_prefix("d", 2)
    assert sorted(part_name(n) for n in range(11)) == [part_name(n) for n in range(11)]


def test_tokens_are_taken_apart_and_nothing_else_is() -> None:
    token, key = make_key("ann", [Scope.READ])
    parts = split_token(token)
    assert parts is not None
    assert parts[0] == key.id
    for other in ("", "gm_", token[:-1], token + "x", token.replace("gm_", "mg_"), f"{token}\n"):
        assert split_token(other) is None


def _tree(kind: type[GristmillError]) -> list[type[GristmillError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def test_every_error_is_drawn_in_the_tree_and_has_a_code_of_its_own() -> None:
    from gristmill import errors

    kinds = _tree(GristmillError)
    drawing = errors.__doc__ or ""
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawing] == []
    codes = [kind.code for kind in kinds if kind is not GristmillError]
    assert len(codes) == len(set(codes))
