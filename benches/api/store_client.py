"""The peer of an upload: a file to the object store by aiobotocore, without the API. Prints the seconds it took.

    python -m benches.api.store_client FILE KEY aioboto3|aiobotocore

`aioboto3` is its `upload_file`, with all defaults. `aiobotocore` is a multipart upload by its own calls, in parts as
large as the API's, on the API's event loop, with some parts on their way at once: as fast as one can write it.
The client is open and has spoken to the store before the clock starts.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import aioboto3
import uvloop
from aiobotocore.config import AioConfig

from gristmill.objects.upload import part_bytes
from gristmill.settings import Settings, load_settings

IN_FLIGHT = 4


async def send(settings: Settings, path: Path, size_bytes: int, key: str, way: str) -> float:
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = aioboto3.Session()
    async with session.client(
        "s3",
        endpoint_url=str(settings.s3_endpoint_url),
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=config if way == "aiobotocore" else None,
    ) as s3:
        bucket = settings.s3_datasets_bucket
        await s3.head_bucket(Bucket=bucket)
        begun = time.monotonic()
        if way == "aiobotocore":
            with path.open("rb") as file:
                await send_parts(s3, file, size_bytes, bucket, key, part_bytes(settings.max_upload_bytes))
        else:
            await s3.upload_file(str(path), bucket, key)
        seconds = time.monotonic() - begun
        found = await s3.head_object(Bucket=bucket, Key=key)
        assert found["ContentLength"] == size_bytes
        await s3.delete_object(Bucket=bucket, Key=key)
    return seconds


async def send_parts(s3: Any, file: BinaryIO, size_bytes: int, bucket: str, key: str, part: int) -> None:
    upload_id = (await s3.create_multipart_upload(Bucket=bucket, Key=key))["UploadId"]
    room = asyncio.Semaphore(IN_FLIGHT)

    async def send_part(number: int) -> dict[str, Any]:
        async with room:
            file.seek((number - 1) * part)
            content = file.read(part)
            answer = await s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=content)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    numbers = range(1, -(-size_bytes // part) + 1)
    parts = await asyncio.gather(*(send_part(number) for number in numbers))
    await s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})


if __name__ == "__main__":
    file, key, way = Path(sys.argv[1]), *sys.argv[2:]
    seconds = uvloop.run(send(load_settings(env_file=None), file, file.stat().st_size, key, way))
    print(json.dumps({"seconds": seconds}))
