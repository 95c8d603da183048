"""Promise: what was uploaded can be downloaded again, by programs that follow a redirect and by pages that may not."""

import httpx

CSV = b"city,temperature\nOslo,4.5\n"


async def test_the_original_is_redirected_to_or_its_url_is_told(client: httpx.AsyncClient) -> None:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    moved = await client.get(f"/datasets/{made['id']}/content")
    assert moved.status_code == 303
    told = (await client.get(f"/datasets/{made['id']}/content", params={"redirect": "false"})).raise_for_status().json()
    assert set(told) == {"url", "url_expires_at"}
    async with httpx.AsyncClient() as nobody:
        for url in (moved.headers["Location"], told["url"]):
            file = await nobody.get(url)
            assert (file.status_code, file.content) == (200, CSV)
            assert "towns.csv" in file.headers["Content-Disposition"]
