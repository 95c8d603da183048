"""One frozen tree of settings, read from the environment (and `.env`) once, refused with all its faults at once."""

import os
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, AnyHttpUrl, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gristmill.errors import ConfigurationError, Fault

MIB = 1024 * 1024
SECRET_NAMES = (
    "POSTGRES_PASSWORD",
    "POSTGRES_MIGRATION_PASSWORD",
    "POSTGRES_API_PASSWORD",
    "POSTGRES_WORKER_PASSWORD",
    "MINIO_ROOT_PASSWORD",
    "S3_SECRET_ACCESS_KEY",
    "BOOTSTRAP_API_KEY",
)

Port = Annotated[int, Field(ge=1, le=65535)]
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Seconds = Annotated[float, Field(gt=0)]


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(item.strip()) for item in text.split(",") if item.strip())


def _checked_networks(text: str) -> str:
    _networks(text)
    return text


class Settings(BaseSettings):
    """Every setting, with its unit and default. Environment names are the upper-case field names."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    # PostgreSQL
    postgres_host: str = Field(description="host name or address of PostgreSQL")
    postgres_port: Port = Field(default=5432, description="port of PostgreSQL")
    postgres_db: str = Field(default="gristmill", description="database")
    postgres_user: str = Field(default="gristmill", description="role")
    postgres_password: SecretStr = Field(description="password of the role")
    postgres_migration_user: str | None = Field(
        default=None, description="role that owns the tables, for `gristmill migrate` and `keys`; default: the same"
    )
    postgres_migration_password: SecretStr | None = Field(default=None, description="password of that role")
    postgres_api_password: SecretStr | None = Field(
        default=None, description="password that `gristmill migrate` gives to the role gristmill_api; default: no login"
    )
    postgres_worker_password: SecretStr | None = Field(
        default=None, description="the same for the role gristmill_worker"
    )
    postgres_pool_size: int = Field(default=10, ge=2, le=500, description="connections a process keeps at most")
    postgres_deadline_s: Seconds = Field(
        default=10.0, description="seconds one statement may take, waiting for a connection included"
    )

    # S3
    s3_endpoint_url: AnyHttpUrl = Field(description="where the server reaches S3")
    s3_public_endpoint_url: AnyHttpUrl | None = Field(
        default=None, description="where users reach S3, for presigned URLs; default: the same"
    )
    s3_access_key_id: str = Field(
        validation_alias=AliasChoices("S3_ACCESS_KEY_ID", "MINIO_ROOT_USER"), description="S3 identity"
    )
    s3_secret_access_key: SecretStr = Field(
        validation_alias=AliasChoices("S3_SECRET_ACCESS_KEY", "MINIO_ROOT_PASSWORD"), description="S3 secret"
    )
    s3_region: str = Field(default="us-east-1", description="S3 region")
    s3_datasets_bucket: BucketName = Field(default="datasets", description="bucket of originals and parts")
    s3_job_results_bucket: BucketName = Field(default="job-results", description="bucket of results")
    s3_deadline_s: Seconds = Field(default=30.0, description="seconds one S3 call may take")

    # API
    api_host: str = Field(default="127.0.0.1", description="address to listen on; beyond loopback only with API keys")
    api_port: Port = Field(default=8000, description="port to listen on")
    bootstrap_api_key: SecretStr | None = Field(
        default=None, description="an admin API key (gm_<id>_<secret>) that `gristmill migrate` makes sure exists"
    )
    max_upload_bytes: int = Field(default=50 * 1024 * MIB, gt=0, description="largest upload, bytes")
    max_body_bytes: int = Field(default=1 * MIB, gt=0, description="largest JSON body, bytes")
    allowed_hosts: str = Field(
        default="", description="host names that are answered, with commas, *.example.com too; empty: all"
    )
    cors_origins: str = Field(
        default="", description="origins whose pages may use the API, with commas; * is all; empty: none"
    )
    rate_limit_per_s: float = Field(default=100.0, ge=0, description="requests per second of a key; 0: no limit")
    rate_limit_burst: int = Field(default=200, ge=1, description="requests of a key at once")
    max_pending_jobs: int = Field(default=100_000, ge=0, description="jobs of an owner that wait, at most; 0: no limit")
    max_owner_bytes: int = Field(
        default=1024 * 1024 * MIB, ge=0, description="bytes of an owner's datasets as uploaded, at most; 0: no limit"
    )
    upload_idle_s: Seconds = Field(default=60.0, description="seconds an upload may pause before it is dropped")
    presigned_upload_s: Seconds = Field(
        default=86400.0, le=604800, description="seconds an upload by presigned URLs has to be completed in"
    )
    source_buckets: str = Field(
        default="",
        description="buckets, or bucket/prefix/, with commas between, whose objects may become datasets of any owner",
    )
    upload_min_rate: float = Field(
        default=1024.0, ge=0, description="bytes a second an upload must bring while we wait for it; 0: any"
    )
    watch_s: Seconds = Field(default=0.25, description="seconds between looks at jobs that a request waits for")
    webhook_networks: Annotated[str, AfterValidator(_checked_networks)] = Field(
        default="", description="private networks that webhooks may go to (CIDR, between commas), by http too"
    )
    webhook_timeout_s: Seconds = Field(default=15.0, description="seconds a webhook's receiver has to answer")
    retain_deliveries_s: Seconds = Field(default=30 * 86400.0, description="seconds the log of webhooks is kept")
    page_readers: int = Field(default=2, ge=1, le=64, description="pages of rows that are read at once")
    presign_ttl_s: int = Field(default=900, ge=1, le=900, description="seconds a download URL lives")

    # Worker
    concurrency: int = Field(default=2, ge=1, le=256, description="executor processes a worker runs")
    lease_s: Seconds = Field(default=15.0, description="seconds a claim lives without a heartbeat")
    heartbeat_s: Seconds = Field(default=1.0, description="seconds between heartbeats")
    poll_s: Seconds = Field(default=5.0, description="seconds between looks at the queue without a wake-up")
    listen_notify: bool = Field(default=True, description="use LISTEN/NOTIFY; false behind a transaction-pooling proxy")
    soft_stop_s: float = Field(default=20.0, ge=0, description="seconds running jobs get to finish after SIGTERM")
    executor_memory_mb: int = Field(
        default=512, ge=192, description="MiB one executor may take; a job that needs more fails with `memory-limit`"
    )
    worker_memory_mb: int | None = Field(
        default=None,
        ge=192,
        description="MiB that running jobs may need together, by estimate; default: all budgets, or what is available",
    )
    stall_s: Seconds = Field(default=300.0, description="seconds a job may run without getting on before it is killed")
    job_timeout_s: int = Field(default=3600, ge=1, description="seconds a job may run unless it says otherwise")
    max_attempts: int = Field(default=5, ge=1, le=100, description="attempts a job gets unless it says otherwise")
    retry_base_s: Seconds = Field(default=1.0, description="backoff before the second attempt, at most, seconds")
    retry_cap_s: Seconds = Field(default=300.0, description="backoff before any attempt, at most, seconds")
    sweep_s: Seconds = Field(default=30.0, description="seconds between sweeps of what lost attempts left")
    sweep_grace_s: float = Field(default=60.0, ge=0, description="seconds before what an attempt left is swept")
    prune_s: Seconds = Field(default=60.0, description="seconds between looks for finished jobs to forget")
    retain_jobs_s: float = Field(
        default=30 * 86400.0, ge=0, le=1e9, description="seconds completed and canceled jobs are kept; 0: for ever"
    )
    retain_failed_s: float = Field(
        default=90 * 86400.0, ge=0, le=1e9, description="seconds failed jobs are kept; 0: for ever"
    )
    metrics_port: Port | None = Field(
        default=None, description="port of a worker's own /metrics, for which no key is asked; default: none"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address that a worker's /metrics listens on")
    scratch_dir: Path | None = Field(default=None, description="folder for temporary files; default: the system's")

    # Data
    part_rows: int = Field(default=1_000_000, ge=1, description="rows of one Parquet part, at most")
    max_columns: int = Field(default=10_000, ge=1, description="columns of a dataset, at most")
    max_cell_bytes: int = Field(default=1 * MIB, ge=1, description="bytes of one cell, at most")
    max_expanded_bytes: int = Field(default=500 * 1024 * MIB, ge=1, description="bytes of a decompressed upload")

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")
    log_format: Literal["console", "json"] = Field(default="console", description="how log lines look")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings

    @model_validator(mode="after")
    def _own_buckets_are_no_sources(self) -> "Settings":
        own = {self.s3_datasets_bucket, self.s3_job_results_bucket}
        if any(bucket in own or not bucket for bucket, _ in self._sources):
            raise ValueError("SOURCE_BUCKETS must not have our own buckets: owners would read each other's data")
        return self

    @model_validator(mode="after")
    def _who_migrates_has_a_password(self) -> "Settings":
        if self.postgres_migration_user is not None and self.postgres_migration_password is None:
            raise ValueError("POSTGRES_MIGRATION_USER needs its POSTGRES_MIGRATION_PASSWORD")
        return self

    @model_validator(mode="after")
    def _heartbeats_fit_the_lease(self) -> "Settings":
        if self.heartbeat_s * 3 > self.lease_s:
            raise ValueError("HEARTBEAT_S must be at most a third of LEASE_S: one missed beat is not death")
        return self

    def for_migration(self) -> "Settings":
        """The same, to log in as who owns the tables."""
        if self.postgres_migration_user is None:
            return self
        login = {"postgres_user": self.postgres_migration_user, "postgres_password": self.postgres_migration_password}
        return self.model_copy(update=login)

    @property
    def loopback_only(self) -> bool:
        """Whether the API listens where only this machine reaches it."""
        if self.api_host == "localhost":
            return True
        try:
            return ip_address(self.api_host).is_loopback
        except ValueError:
            return False

    @property
    def webhook_targets(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Where webhooks may go besides the open internet."""
        return _networks(self.webhook_networks)

    @property
    def _sources(self) -> list[tuple[str, str]]:
        parts = [entry.strip().partition("/") for entry in self.source_buckets.split(",") if entry.strip()]
        return [(bucket, prefix) for bucket, _, prefix in parts]

    def may_read(self, bucket: str, key: str) -> bool:
        """Whether an object may become a dataset: its bucket is listed, and its key begins as is said there."""
        return any(bucket == listed and key.startswith(prefix) for listed, prefix in self._sources)

    @cached_property
    def allowed_host_names(self) -> tuple[str, ...]:
        return _listed(self.allowed_hosts.lower())

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return _listed(self.cors_origins)

    @property
    def public_s3_endpoint(self) -> str:
        return str(self.s3_public_endpoint_url or self.s3_endpoint_url).rstrip("/")

    def environment(self) -> dict[str, str]:
        """The environment in which another process reads these same settings, secrets included."""
        values = {name.upper(): getattr(self, name) for name in type(self).model_fields}
        return {name: _plain(value) for name, value in values.items() if value is not None}


def load_settings(overrides: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings. `overrides` (environment names) win over the environment, which wins over `.env`.

    A secret may come from a file: `POSTGRES_PASSWORD_FILE=/run/secrets/pg` stands for `POSTGRES_PASSWORD`.

    Raises:
        ConfigurationError: names every setting that is missing or wrong, never its value.
    """
    given: dict[str, Any] = {**_secrets_from_files(os.environ), **(overrides or {})}
    try:
        return Settings(_env_file=env_file, **{_field_or_alias(name): value for name, value in given.items()})
    except ValidationError as error:
        faults = tuple(Fault(_setting_name(item["loc"]), item["msg"]) for item in error.errors(include_input=False))
    listed = "\n".join(
        f"  {fault.pointer}: {fault.detail}" if fault.pointer else f"  {fault.detail}" for fault in faults
    )
    raise ConfigurationError(f"These settings are missing or wrong:\n{listed}", errors=faults)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _plain(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _field_or_alias(name: str) -> str:
    """What pydantic calls the setting: an alias beats a field's name, so a field with aliases is given by one."""
    field = Settings.model_fields.get(name.lower())
    return name.lower() if field is not None and field.validation_alias is None else name


def _setting_name(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else ""


def _secrets_from_files(environment: Mapping[str, str]) -> dict[str, str]:
    secrets: dict[str, str] = {}
    faults: list[Fault] = []
    for name in SECRET_NAMES:
        path = environment.get(f"{name}_FILE")
        if path and name not in environment:
            try:
                secrets[name] = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                faults.append(Fault(f"{name}_FILE", f"can't be read ({type(error).__name__})"))
    if faults:
        listed = "\n".join(f"  {fault.pointer}: {fault.detail}" for fault in faults)
        raise ConfigurationError(f"These settings are missing or wrong:\n{listed}", errors=tuple(faults))
    return secrets
