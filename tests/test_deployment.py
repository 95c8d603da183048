"""compose.yaml and the Dockerfile say what the settings and the processes need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gristmill.settings import Settings

ROOT = Path(__file__).parents[1]
ONE_SHOT = {"migrate", "buckets"}
OURS = {"migrate", "buckets", "api", "worker"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def seconds(duration: str) -> int:
    assert re.fullmatch(r"\d+s", duration), duration
    return int(duration[:-1])


def setting_names() -> set[str]:
    aliases = {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}
    return {name.upper() for name in Settings.model_fields} | aliases


def test_every_service_of_the_shape_is_there(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "minio"} | OURS


def test_our_services_are_given_settings_that_exist(services: dict[str, Any]) -> None:
    for name in OURS:
        unknown = set(services[name]["environment"]) - setting_names()
        assert not unknown, f"{name} is given {unknown}, which no setting reads"


def test_our_services_are_given_every_setting_without_a_default(services: dict[str, Any]) -> None:
    needed = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    spelled = {"S3_ACCESS_KEY_ID": "MINIO_ROOT_USER", "S3_SECRET_ACCESS_KEY": "MINIO_ROOT_PASSWORD"}
    for name in OURS:
        given = set(services[name]["environment"])
        missing = {spelled.get(setting, setting) for setting in needed} - given
        assert not missing, f"{name} lacks {missing}"


def test_the_graph_starts_in_order(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["buckets"]["depends_on"] == {"minio": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        waits = services[name]["depends_on"]
        assert waits == {shot: {"condition": "service_completed_successfully"} for shot in ONE_SHOT}


def test_every_lasting_service_has_a_health_check_and_comes_back(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "on-failure"
            continue
        assert service["restart"] == "unless-stopped"
        assert "healthcheck" in service or (name == "api" and "HEALTHCHECK" in dockerfile)


def test_the_worker_is_stopped_later_than_it_gives_its_jobs_back(services: dict[str, Any]) -> None:
    worker = services["worker"]
    soft_stop = Settings.model_fields["soft_stop_s"].default
    assert worker["environment"]["SOFT_STOP_S"] == f"${{SOFT_STOP_S:-{soft_stop:.0f}}}"
    lease = Settings.model_fields["lease_s"].default
    assert seconds(worker["stop_grace_period"]) > soft_stop + lease + 40


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    assert "ports" not in services["worker"]
    assert "container_name" not in services["worker"]


def test_no_port_is_open_to_other_machines_and_the_database_has_none(services: dict[str, Any]) -> None:
    assert "ports" not in services["postgres"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert re.match(r"\$\{[A-Z0-9_]+:-127\.0\.0\.1:\d+\}:\d+$", port), f"{name}: {port}"


def test_no_secret_has_a_default(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or "KEY" in variable or variable == "MINIO_ROOT_USER":
                assert re.match(r"\$\{[A-Z_]+:\?", value), f"{name}: {variable} must be required, without a default"


def test_images_are_pinned_and_can_be_replaced(services: dict[str, Any]) -> None:
    assert services["postgres"]["image"].startswith("${POSTGRES_IMAGE:-postgres:18")
    assert re.match(r"\$\{MINIO_IMAGE:-.+:RELEASE\.[0-9TZ-]+\}$", services["minio"]["image"])


def test_the_image_runs_as_nobody_special() -> None:
    stages = (ROOT / "Dockerfile").read_text("utf-8").split("\nFROM ")
    runtime = stages[-1]
    assert len(stages) == 3, "a build stage and a runtime stage"
    assert re.search(r"^USER gristmill$", runtime, re.MULTILINE)
    assert "pip install" not in runtime
    assert "HEALTHCHECK" in runtime


def test_what_the_image_copies_is_in_the_build_context() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied <= allowed
    assert all((ROOT / source).exists() for source in copied)
