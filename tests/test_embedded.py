"""The embedded services are there while held, gone when nobody holds them, lose nothing, and are for us alone."""

import os
import pwd
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import botocore.session
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gristmill import embedded
from gristmill.embedded import Endpoints
from gristmill.embedded.places import GRPC_PARTS, Places, ServerUser, Services, binaries
from gristmill.errors import EmbeddedServiceError
from gristmill.settings import load_settings

BODY = os.urandom(9 * 1024 * 1024)  # three chunks of the store
HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HOLDER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from gristmill import embedded
with embedded.hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder of this file's own, in a path with spaces and a quote."""
    path = tmp_path_factory.mktemp("it's a checkout") / ".gristmill"
    yield path
    embedded.reset(path)


@pytest.fixture(scope="class")
def held(folder: Path) -> Iterator[Endpoints]:
    with embedded.hold(folder) as endpoints:
        yield endpoints


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition; the limit is there to end a broken run, not to time a good one."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


async def connect(endpoints: Endpoints, **changed: Any) -> asyncpg.Connection:
    known: dict[str, Any] = {
        "host": endpoints.postgres_host,
        "port": endpoints.postgres_port,
        "user": endpoints.postgres_user,
        "password": endpoints.postgres_password,
        "database": endpoints.postgres_db,
        "ssl": False,
    }
    return await asyncpg.connect(**{**known, **changed})


async def query(endpoints: Endpoints, sql: str) -> Any:
    connection = await connect(endpoints)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@contextmanager
def s3(endpoints: Endpoints, *, secret: str | None = None) -> Iterator[Any]:
    client = botocore.session.Session().create_client(
        "s3",
        region_name=endpoints.s3_region,
        endpoint_url=endpoints.s3_endpoint_url,
        aws_access_key_id=endpoints.s3_access_key_id,
        aws_secret_access_key=secret or endpoints.s3_secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20),
    )
    with closing(client):
        yield client


def put(endpoints: Endpoints, key: str) -> None:
    with s3(endpoints) as client:
        client.put_object(Bucket="datasets", Key=key, Body=BODY)


def get(endpoints: Endpoints, key: str) -> bytes:
    with s3(endpoints) as client:
        content: bytes = client.get_object(Bucket="datasets", Key=key)["Body"].read()
    return content


def answers(endpoints: Endpoints, key: str) -> bool:
    try:
        return get(endpoints, key) == BODY
    except Exception:  # noqa: BLE001 - whatever a server says while it comes up
        return False


def servers_of(folder: Path) -> dict[str, psutil.Process]:
    """The running servers of a data folder, by name, found from outside: by where their data is."""
    home = Places(folder).home(kept_by(folder))
    marks = {"postgres": str(home / "postgres" / "data"), "s3": f"-dir={home / 's3' / 'data'}"}
    return {
        name: process
        for process in psutil.process_iter(["cmdline"])
        for name, mark in marks.items()
        if mark in (process.info["cmdline"] or ())
    }


def kept_by(folder: Path) -> Services:
    services = Places(folder).read_services()
    assert services is not None
    return services


def guard_pid(folder: Path) -> int:
    (guard,) = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or ())[-3:] == ["-m", "gristmill.embedded", str(folder)]
    ]
    return int(guard)


def assert_nothing_runs(folder: Path) -> None:
    assert servers_of(folder) == {}
    assert not embedded.status(folder).running


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the services."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


class TestHeld:
    """What can be seen while they are held."""

    async def test_only_our_password_and_key_get_in_and_they_are_no_admins(self, folder: Path, held: Endpoints) -> None:
        for user in (held.postgres_user, "postgres"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await connect(held, user=user, password="guessed")
        assert not await query(held, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        rules = (Places(folder).home(kept_by(folder)) / "postgres" / "data" / "pg_hba.conf").read_text().splitlines()
        assert all(rule.endswith(" 127.0.0.1/32 scram-sha-256") for rule in rules)
        assert len(rules) == 1
        with s3(held, secret="guessed") as stranger, pytest.raises(ClientError) as refused:
            stranger.list_objects_v2(Bucket="datasets")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        with s3(held) as ours:
            with pytest.raises(ClientError):
                ours.create_bucket(Bucket="another")
            with pytest.raises(ClientError):
                ours.delete_bucket(Bucket="datasets")
            with pytest.raises(ClientError):
                ours.put_object(Bucket="another", Key="k", Body=b"")
        assert held.postgres_password not in repr(held)

    def test_every_port_is_on_loopback_and_tells_a_stranger_nothing(self, folder: Path, held: Endpoints) -> None:
        secret = b"what nobody else may read" * 4
        with s3(held) as client:
            client.put_object(Bucket="datasets", Key="private", Body=secret)
        listening = [
            connection.laddr
            for process in servers_of(folder).values()
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        assert len(listening) == 9
        for address in listening:
            for path in ("/datasets/private", "/buckets/datasets/private", "/buckets/", "/dir/assign", "/dir/lookup"):
                for talk in (plain, encrypted):
                    answer = talk(address.port, path)
                    assert secret not in answer
                    assert b"fid" not in answer
                    assert path.endswith("private") or b"private" not in answer

    def test_a_chunk_is_not_read_without_a_signed_token(self, folder: Path, held: Endpoints) -> None:
        put(held, "chunked")
        answer = plain(kept_by(folder).ports["volume"], "/1,0100000000")
        assert answer.startswith(b"HTTP/1.0 401")

    def test_inner_calls_want_our_certificate(self, folder: Path, held: Endpoints) -> None:
        for name in GRPC_PARTS:
            port = kept_by(folder).ports[name]
            with pytest.raises((ssl.SSLError, ConnectionError)):
                encrypted(port, "/", protocol="h2", quietly=False)
            assert plain(port, "/", opening=HTTP2_OPENING) == b""

    def test_files_are_for_us_alone(self, folder: Path, held: Endpoints) -> None:
        home = Places(folder).home(kept_by(folder))
        for top in (folder, home):
            assert stat.S_IMODE(top.stat().st_mode) & 0o066 == 0, top
            for path in top.iterdir():
                if path.is_dir() and path.name != "bin":
                    assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
                elif path.name != "bin":
                    assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        secrets = (held.postgres_password, held.s3_secret_access_key)
        seen = " ".join(word for process in servers_of(folder).values() for word in process.cmdline())
        assert not any(secret in seen for secret in secrets)
        logs = b"".join(path.read_bytes() for path in folder.glob("*.log"))
        assert not any(secret.encode() in logs for secret in secrets)

    def test_root_runs_them_as_somebody_else(self, folder: Path, held: Endpoints) -> None:
        owners = {process.uids().real for process in servers_of(folder).values()}
        assert 0 not in owners
        if os.geteuid() != 0:
            assert owners == {os.geteuid()}

    def test_settings_lead_to_the_services(self, folder: Path, held: Endpoints) -> None:
        settings = load_settings(held.environment(), env_file=None)
        assert settings.postgres_port == held.postgres_port
        assert settings.postgres_password.get_secret_value() == held.postgres_password
        assert str(settings.s3_endpoint_url).rstrip("/") == held.s3_endpoint_url
        assert settings.s3_secret_access_key.get_secret_value() == held.s3_secret_access_key
        assert embedded.status(folder).endpoints == held


async def test_data_is_kept_and_the_last_holder_leaves_nothing_running(folder: Path) -> None:
    with embedded.hold(folder) as endpoints:
        assert set(servers_of(folder)) == {"postgres", "s3"}
        await query(endpoints, "CREATE TABLE kept AS SELECT 'as it was' AS text")
        put(endpoints, "kept")
        with embedded.hold(folder) as second:
            assert second == endpoints
        assert await query(endpoints, "SELECT text FROM kept") == "as it was"
    assert_nothing_runs(folder)

    with embedded.hold(folder) as again:
        assert again == endpoints
        assert await query(again, "SELECT text FROM kept") == "as it was"
        assert get(again, "kept") == BODY
    assert_nothing_runs(folder)


def test_a_killed_holder_leaves_nothing_running(folder: Path) -> None:
    with holder(folder) as process:
        pids = {server.pid for server in servers_of(folder).values()}
        assert len(pids) == 2
        process.kill()
    until(lambda: not embedded.status(folder).running, "the guard stops the servers of a killed holder")
    assert_nothing_runs(folder)


def test_the_guard_outlives_its_starter_while_another_holds(folder: Path) -> None:
    with holder(folder) as first, holder(folder) as second:
        first.kill()
        first.wait()
        assert set(servers_of(folder)) == {"postgres", "s3"}
        with embedded.hold(folder) as endpoints:
            put(endpoints, "other")
        assert set(servers_of(folder)) == {"postgres", "s3"}
        second.kill()
    until(lambda: not embedded.status(folder).running, "the guard stops when both are gone")


async def test_a_server_that_is_killed_comes_back_with_everything_acknowledged(folder: Path) -> None:
    with embedded.hold(folder) as endpoints:
        killed = servers_of(folder)
        await query(endpoints, "CREATE TABLE committed AS SELECT 1 AS one")
        put(endpoints, "acknowledged")
        for process in killed.values():
            process.kill()
        until(lambda: answers(endpoints, "acknowledged"), "S3 is started again, with what it had acknowledged")
        connection = await connected(endpoints)
        assert await connection.fetchval("SELECT one FROM committed") == 1
        await connection.close()
        restarted = servers_of(folder)
        assert {server.pid for server in restarted.values()}.isdisjoint(server.pid for server in killed.values())


async def connected(endpoints: Endpoints) -> asyncpg.Connection:
    """A connection as soon as the server takes one."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await connect(endpoints)
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < deadline, "PostgreSQL is started again"


async def test_servers_left_by_a_killed_guard_are_replaced(folder: Path) -> None:
    with embedded.hold(folder) as first:
        put(first, "before")
        left = servers_of(folder)
        os.kill(guard_pid(folder), signal.SIGKILL)
        until(lambda: not embedded.status(folder).running, "the guard is dead")
        with embedded.hold(folder) as second:
            assert second == first
            assert get(second, "before") == BODY
            assert await query(second, "SELECT 1") == 1
            assert not any(process.is_running() for process in left.values())
            assert set(servers_of(folder)) == {"postgres", "s3"}
    assert_nothing_runs(folder)


async def test_ports_that_are_taken_are_chosen_anew(folder: Path) -> None:
    with embedded.hold(folder) as before:
        put(before, "elsewhere")
    s3_port = int(before.s3_endpoint_url.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", before.postgres_port)),
        socket.create_server(("127.0.0.1", s3_port)),
        embedded.hold(folder) as after,
    ):
        assert after.postgres_port != before.postgres_port
        assert after.s3_endpoint_url != before.s3_endpoint_url
        assert await query(after, "SELECT 1") == 1
        assert get(after, "elsewhere") == BODY


def test_newcomers_wait_for_a_guard_that_is_stopping(folder: Path) -> None:
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(2):
                with embedded.hold(folder) as endpoints:
                    put(endpoints, "busy")
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    until(lambda: not embedded.status(folder).running, "all have left")
    assert_nothing_runs(folder)


def plain(port: int, path: str, opening: bytes | None = None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return exchange(connection, opening or f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())


def encrypted(port: int, path: str, *, protocol: str = "http/1.1", quietly: bool = True) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            context.wrap_socket(raw) as connection,
        ):
            return exchange(connection, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode(), quietly=quietly)
    except (ssl.SSLError, ConnectionError):
        if quietly:
            return b""
        raise


def exchange(connection: socket.socket, request: bytes, *, quietly: bool = True) -> bytes:
    answer = b""
    try:
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
    except (TimeoutError, ConnectionError, ssl.SSLError):
        if not quietly:
            raise
    return answer


def test_programs_in_a_closed_folder_are_copied_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for root's checkout in a folder that the servers' user may not enter."""
    monkeypatch.setattr(ServerUser, "runs", lambda *_: False)
    programs, weed = binaries(tmp_path, ServerUser(os.geteuid(), os.getegid(), switch=True))
    for program in (programs / "initdb", programs / "postgres"):
        assert program.is_relative_to(tmp_path)
        assert b"18." in subprocess.run([program, "--version"], check=True, capture_output=True, env={}).stdout
    assert weed.is_relative_to(tmp_path)
    assert subprocess.run([weed, "version"], check=True, capture_output=True, env={}).stdout
    assert stat.S_IMODE(weed.stat().st_mode) & 0o005 == 0o005


def open_to(user: pwd.struct_passwd) -> list[list[str]]:
    """Ways to run this Python as another user: itself, or the system's of the same version on our libraries."""
    same = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = os.pathsep.join(path for path in sys.path if path.endswith(("site-packages", "src")))
    ways = [[sys.executable], ["env", f"PYTHONPATH={libraries}", same]]
    return [way for way in ways if run_as(user, [*way, "-c", "import gristmill.embedded"], home="/") is not None]


def run_as(user: pwd.struct_passwd, command: list[str], *, home: str) -> bytes | None:
    """What a command says that another user runs; None when it is closed to that user, or fails."""
    try:
        ended = subprocess.run(
            command,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=(),
            cwd=home,
            env={"HOME": home, "PATH": os.environ["PATH"]},
            input=b"",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return None
    return ended.stdout if ended.returncode == 0 else None


def test_an_ordinary_user_runs_them_too() -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test has just shown it")
    nobody = pwd.getpwnam("nobody")
    ways = open_to(nobody)
    if not ways:
        pytest.skip("this checkout and its Python are closed to other users")
    with TemporaryDirectory() as home:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        folder = Path(home) / "data folder"
        assert run_as(nobody, [*ways[0], "-c", HOLDER, str(folder)], home=home) == b"held\n"
        assert (folder / "postgres" / "data").stat().st_uid == nobody.pw_uid
        assert servers_of(folder) == {}


async def test_two_folders_at_once_know_nothing_of_each_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "another checkout"
    try:
        with embedded.hold(folder) as one, embedded.hold(other) as two:
            put(one, "in one only")
            with s3(two) as client:
                assert client.list_objects_v2(Bucket="datasets")["KeyCount"] == 0
            await query(one, "CREATE TABLE in_one_only (x int)")
            assert await query(two, "SELECT to_regclass('in_one_only')") is None
            with pytest.raises(asyncpg.InvalidPasswordError):
                await connect(two, password=one.postgres_password)
        # What is there is refused, not overwritten, when it is not what we made.
        home = Places(other).home(kept_by(other))
        (home / "postgres" / "data" / "PG_VERSION").write_text("9\n")
        with pytest.raises(EmbeddedServiceError, match="version 9"), embedded.hold(other):
            pytest.fail("started on data of another version")
        assert_nothing_runs(other)
        assert embedded.status(other).state == "failed"
    finally:
        embedded.reset(other)


async def test_reset_wipes_and_refuses_while_held(tmp_path: Path) -> None:
    folder = tmp_path / "short-lived"
    with embedded.hold(folder) as before:
        await query(before, "CREATE TABLE gone (x int)")
        put(before, "gone")
        with pytest.raises(EmbeddedServiceError, match="in use"):
            embedded.reset(folder)
        assert get(before, "gone") == BODY
    home = Places(folder).home(kept_by(folder))
    embedded.reset(folder)
    assert not folder.exists()
    assert not home.exists()
    assert embedded.status(folder).state == "never started"
    embedded.reset(folder)
