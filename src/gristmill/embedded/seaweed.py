"""An S3 server on this machine: SeaweedFS, all its parts in one process, run as a child of the guard."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gristmill.embedded import servers
from gristmill.embedded.certificate import make_certificate
from gristmill.embedded.places import GRPC_PARTS, Places, ServerUser, Services, grpc_socket, owned_folder, write_private
from gristmill.embedded.report import tail
from gristmill.errors import EmbeddedServiceError

REGION = "us-east-1"
BUCKETS = ("datasets", "job-results")
READY_LIMIT_S = 60.0
PROBE = ".probe"

DISK_RESERVE_MIB = 256

# Every part but S3 itself is for the server's own use: its HTTP is off, or wants a signed token (the volumes); its gRPC
# wants our certificate. Else any user of the machine could read objects there, or write them, without an S3 key.
SECURITY = """\
[jwt.signing]
key = "{key}-write"
[jwt.signing.read]
key = "{key}-read"
[jwt.filer_signing]
key = "{key}-filer-write"
[jwt.filer_signing.read]
key = "{key}-filer-read"
[grpc]
ca = "certificate.pem"
"""
COMPONENTS = ("master", "volume", "filer", "s3", "client")

# Volumes made at a time for a bucket; 7 by default, which a small disk has no room for.
GROWTH = """\
[master.volume_growth]
copy_1 = 2
"""

OFF = (
    "-disableHttp",
    "-filer.disableHttp",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
)
SIZES = (
    "-volume.max=0",  # as many as the disk has room for
    f"-volume.minFreeSpace={DISK_RESERVE_MIB}MiB",  # then PUT fails, before a write ends in the middle
    "-volume.preStopSeconds=0",
    "-master.peers=none",  # it is alone; else it waits for the votes of others
)


class Seaweed:
    """The S3 server of one data folder."""

    name = "s3"

    def __init__(self, places: Places, services: Services, user: ServerUser, weed: Path) -> None:
        self._services = services
        self._user = user
        self._folder = places.home(services) / "s3"
        self._data = self._folder / "data"
        self._free_mib = shutil.disk_usage(self._folder).free // 1024**2
        port = services.ports
        mark = f"-dir={self._data}"
        self.program = servers.Program(
            name=self.name,
            command=[
                str(weed),
                "-logtostderr=true",
                f"-config_dir={self._folder}",
                "server",
                mark,
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
                f"-s3.config={self._folder / 'identities.json'}",
                # Named from its working folder: a path in full may be too long for a socket's name.
                "-s3.localSocket=s3.sock",
                "-filer.localSocket=filer.sock",
                f"-s3.port={port['s3']}",
                f"-s3.port.grpc={port['s3_grpc']}",
                f"-master.port={port['master']}",
                f"-master.port.grpc={port['master_grpc']}",
                f"-volume.port={port['volume']}",
                f"-volume.port.grpc={port['volume_grpc']}",
                f"-filer.port={port['filer']}",
                f"-filer.port.grpc={port['filer_grpc']}",
                *OFF,
                *SIZES,
                # Dozens of volumes fit on any disk, and none takes room before it is written to.
                f"-master.volumeSizeLimitMB={min(1024, max(64, self._free_mib // 64))}",
            ],
            mark=mark,
            folder=self._folder,
            log=places.log(self.name),
            user=user,
            # What it has acknowledged is written to its files by then; asked kindly it waits 15 s for itself.
            stop_signal=signal.SIGKILL,
            stop_limit_s=10.0,
            leftovers=[grpc_socket(part, port) for part, port in services.ports.items() if part in GRPC_PARTS],
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, and return when both buckets are there and take an object.

        Raises:
            EmbeddedServiceError: it does not come up; the message has the end of its log.
        """
        if self._free_mib <= DISK_RESERVE_MIB:
            raise EmbeddedServiceError(
                f"S3 needs more than {DISK_RESERVE_MIB} MiB of free disk; there are {self._free_mib}"
            )
        servers.stop_stray(self.program)
        owned_folder(self._data, self._user)
        write_private(self._folder / "identities.json", self._identities(), self._user)
        write_private(self._folder / "master.toml", GROWTH.encode(), self._user)
        self._lock_inner_doors()
        process = servers.start(self.program)
        try:
            self._prepare(process)
        except BaseException:
            servers.stop(self.program, process)
            raise
        return process

    def _lock_inner_doors(self) -> None:
        """A new certificate, trusted by itself alone, and the keys of the tokens."""
        key, certificate = make_certificate()
        write_private(self._folder / "key.pem", key, self._user)
        write_private(self._folder / "certificate.pem", certificate, self._user)
        parts = (f'[grpc.{part}]\ncert = "certificate.pem"\nkey = "key.pem"\n' for part in COMPONENTS)
        whole = SECURITY.format(key=self._services.signing_key) + "".join(parts)
        write_private(self._folder / "security.toml", whole.encode(), self._user)

    def _identities(self) -> bytes:
        granted = [f"{action}:{bucket}" for action in ("Read", "Write", "List", "Tagging") for bucket in BUCKETS]
        return msgspec.json.encode(
            {
                "identities": [
                    _identity("admin", self._services.s3_admin_key_id, self._services.s3_admin_secret_key, ["Admin"]),
                    _identity(
                        "gristmill", self._services.s3_access_key_id, self._services.s3_secret_access_key, granted
                    ),
                ]
            }
        )

    def _prepare(self, process: subprocess.Popen[bytes]) -> None:
        admin = self._client(self._services.s3_admin_key_id, self._services.s3_admin_secret_key)
        ours = self._client(self._services.s3_access_key_id, self._services.s3_secret_access_key)
        deadline = servers.now() + READY_LIMIT_S
        present = self._until(process, deadline, admin.list_buckets)
        names = {bucket["Name"] for bucket in present["Buckets"]}
        for bucket in BUCKETS:
            if bucket not in names:
                self._until(process, deadline, partial(admin.create_bucket, Bucket=bucket))
            # A server that lists its buckets may not yet have a volume to write to.
            self._until(process, deadline, partial(ours.put_object, Bucket=bucket, Key=PROBE, Body=b"1"))
            self._until(process, deadline, partial(ours.delete_object, Bucket=bucket, Key=PROBE))

    def _until(self, process: subprocess.Popen[bytes], deadline: float, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except (BotoCoreError, ClientError) as error:
                if process.poll() is not None or servers.now() > deadline:
                    raise EmbeddedServiceError(
                        f"S3 (SeaweedFS) does not start ({error}):\n{tail(self.program.log)}"
                    ) from error
            time.sleep(0.05)

    def _client(self, key_id: str, secret: str) -> Any:
        return botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self._services.ports['s3']}",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(
                connect_timeout=2,
                read_timeout=10,
                retries={"total_max_attempts": 1},
                proxies={},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def _identity(name: str, key_id: str, secret: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key_id, "secretKey": secret}], "actions": actions}
