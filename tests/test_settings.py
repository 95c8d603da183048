"""Settings are documented, refused all at once and by name, and never show a secret."""

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices, SecretStr
from pydantic_core import PydanticUndefined

from gristmill.errors import ConfigurationError
from gristmill.settings import SECRET_NAMES, Settings, load_settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
LINE = re.compile(r"^(?P<comment>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")
GIVEN = {
    "POSTGRES_HOST": "db.internal",
    "POSTGRES_PASSWORD": "pg-secret",
    "S3_ENDPOINT_URL": "http://s3.internal:9000",
    "S3_ACCESS_KEY_ID": "key-id",
    "S3_SECRET_ACCESS_KEY": "s3-secret",
}


def example() -> dict[str, tuple[bool, str, str]]:
    """Of each setting in `.env.example`: whether it is commented out, its value, and the line above."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    return {
        found["name"]: (bool(found["comment"]), found["value"], above)
        for above, line in zip(["", *lines], lines, strict=False)
        if (found := LINE.match(line))
    }


def given(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in {**GIVEN, **changed}.items():
        monkeypatch.setenv(name, value)


def test_the_example_has_every_setting_and_no_other() -> None:
    assert set(example()) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_tells_description_and_default(name: str) -> None:
    field = Settings.model_fields[name]
    commented, value, above = example()[name.upper()]
    assert field.description
    assert above.startswith(f"# {field.description}")
    assert commented == (field.default is not PydanticUndefined), "what has a default is commented out"
    if field.default in (PydanticUndefined, None):
        assert value == ""
    elif isinstance(field.default, bool):
        assert value == str(field.default).lower()
    else:
        assert value == str(field.default)
    if isinstance(field.validation_alias, AliasChoices):
        assert all(str(other) in above for other in field.validation_alias.choices[1:])


def test_the_example_with_its_defaults_taken_is_accepted(tmp_path: Path) -> None:
    filled = tmp_path / ".env"
    lines = [
        f"{name}={GIVEN.get(name, value)}" for name, (_, value, _) in example().items() if GIVEN.get(name, value) != ""
    ]
    filled.write_text("\n".join(lines), "utf-8")
    known = load_settings(env_file=filled)
    expected = load_settings(GIVEN, env_file=None)
    assert known == expected


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, POSTGRES_PORT="70000", S3_ENDPOINT_URL="nowhere", LOG_LEVEL="loud", CONCURRENCY="0")
    monkeypatch.delenv("POSTGRES_HOST")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(env_file=None)
    wrong = {"POSTGRES_HOST", "POSTGRES_PORT", "S3_ENDPOINT_URL", "LOG_LEVEL", "CONCURRENCY"}
    assert {fault.pointer for fault in refused.value.errors} == wrong
    assert all(f"  {name}: " in refused.value.detail for name in wrong)


def test_a_refusal_never_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, POSTGRES_PORT="hunter2-in-the-wrong-place", API_PORT="-1")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(env_file=None)
    shown = f"{refused.value!r} {refused.value.detail} {refused.value.errors}"
    assert not any(value in shown for value in ("hunter2", "pg-secret", "s3-secret"))


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = {f"POSTGRES_{login}_PASSWORD": "login-secret" for login in ("MIGRATION", "API", "WORKER")}
    given(monkeypatch, BOOTSTRAP_API_KEY="gm_key_very-secret", **logins)
    settings = load_settings(env_file=None)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert not any(secret in shown for secret in ("pg-secret", "s3-secret", "very-secret", "login-secret"))
    named = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert named == {name.lower() for name in SECRET_NAMES} - {"minio_root_password"}
    assert all(isinstance(getattr(settings, name), SecretStr) for name in named)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_may_come_from_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(monkeypatch)
    monkeypatch.delenv("S3_SECRET_ACCESS_KEY" if name == "MINIO_ROOT_PASSWORD" else name, raising=False)
    (tmp_path / "secret").write_text("from the file\n", "utf-8")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    settings = load_settings(env_file=None)
    secret = getattr(settings, "s3_secret_access_key" if name == "MINIO_ROOT_PASSWORD" else name.lower())
    assert secret.get_secret_value() == "from the file"


def test_secret_files_that_cant_be_read_are_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("POSTGRES_PASSWORD", "S3_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError) as refused:
        load_settings(GIVEN, env_file=None)
    assert {fault.pointer for fault in refused.value.errors} == {"POSTGRES_PASSWORD_FILE", "S3_SECRET_ACCESS_KEY_FILE"}
    assert str(tmp_path) not in refused.value.detail


def test_overrides_go_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given(monkeypatch, POSTGRES_DB="from_environment", POSTGRES_USER="from_environment")
    file = tmp_path / ".env"
    file.write_text("POSTGRES_DB=from_file\nPOSTGRES_USER=from_file\nS3_REGION=from-file\n", "utf-8")
    settings = load_settings({"POSTGRES_DB": "overridden", "S3_ACCESS_KEY_ID": "overridden"}, env_file=file)
    assert settings.postgres_db == "overridden"
    assert settings.s3_access_key_id == "overridden"
    assert settings.postgres_user == "from_environment"
    assert settings.s3_region == "from-file"


def test_minio_names_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, MINIO_ROOT_USER="root", MINIO_ROOT_PASSWORD="minio-secret")
    monkeypatch.delenv("S3_ACCESS_KEY_ID")
    monkeypatch.delenv("S3_SECRET_ACCESS_KEY")
    settings = load_settings(env_file=None)
    assert settings.s3_access_key_id == "root"
    assert settings.s3_secret_access_key.get_secret_value() == "minio-secret"


def test_empty_means_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, POSTGRES_PORT="", S3_PUBLIC_ENDPOINT_URL="")
    settings = load_settings(env_file=None)
    assert settings.postgres_port == 5432
    assert settings.public_s3_endpoint == "http://s3.internal:9000"


def test_a_heartbeat_too_slow_for_the_lease_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, LEASE_S="5", HEARTBEAT_S="2")
    with pytest.raises(ConfigurationError, match="HEARTBEAT_S must be at most a third of LEASE_S"):
        load_settings(env_file=None)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.7", False), ("api", False)],
)
def test_what_counts_as_loopback(host: str, loopback: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, API_HOST=host)
    assert load_settings(env_file=None).loopback_only is loopback
