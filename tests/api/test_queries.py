"""Promise: a filter that is not understood is refused; it never becomes no filter at all."""

import httpx
import pytest


@pytest.mark.parametrize(
    "query",
    [
        *("status=null", "status=Null", "dataset_id=null", "created_after=%6eull"),
        *("status=failed&status=pending", "limit=1&limit=2", "kind=a&kind=a"),
    ],
)
async def test_a_value_that_is_none_or_twice_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/jobs?{query}")
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == f"/query/{query.partition('=')[0]}"


async def test_texts_may_be_null_and_lists_may_have_many(client: httpx.AsyncClient) -> None:
    for name in ("null", "other"):
        csv = {"Content-Type": "text/csv"}
        (await client.post("/datasets", params={"name": name}, content=b"a\n1\n", headers=csv)).raise_for_status()
    found = (await client.get("/datasets?name=null")).raise_for_status().json()["items"]
    assert [dataset["name"] for dataset in found] == ["null"]
    assert (await client.get("/jobs?label=a:1&label=b")).status_code == 200
