"""The bytes of a dataset as they came, from the store."""

from typing import Annotated, cast

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from gristmill.api.answers import Response
from gristmill.api.datasets import found_dataset
from gristmill.api.document import DatasetId, Moment
from gristmill.api.problems import documented
from gristmill.db.engine import Database
from gristmill.objects import ObjectStore
from gristmill.settings import Settings


class Download(msgspec.Struct, frozen=True):
    """Where the original can be downloaded without a key, until `url_expires_at`."""

    url: str
    url_expires_at: Moment


@get(
    "/{dataset_id:uuid}/content",
    status_code=303,
    operation_id="downloadDataset",
    summary="Download the original",
    responses={
        200: ResponseSpec(Download, description="With `redirect=false`: the URL.", generate_examples=False),
        **documented(404, 422),
    },
    response_description="`Location` downloads the bytes as they came, under the dataset's name, for a while.",
)
async def download_dataset(
    *,
    dataset_id: DatasetId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
    redirect: Annotated[
        bool, QueryParameter(description="false: answer 200 with the URL, for pages that may not follow it.")
    ] = True,
) -> Response[None]:
    """The URL in `Location` needs no key. A dataset that has failed can be downloaded too."""
    row = await found_dataset(database, dataset_id, owner=owner)
    bucket = settings.s3_datasets_bucket
    url, until = await store.presign_get(bucket, row.original_key, filename=row.name, ttl_s=settings.presign_ttl_s)
    if redirect:
        return Response(None, status_code=303, headers={"Location": url})
    return cast("Response[None]", Response(Download(url, until), status_code=200))
