"""The compose stack against the code, without an engine: what it names must exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def compose() -> dict:  # type: ignore[type-arg]
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def test_docker_and_dbt_project_are_not_python_packages() -> None:
    assert not (DOCKER / "__init__.py").exists()
    assert not (ROOT / "dbt_project" / "__init__.py").exists()


def test_every_copied_path_exists() -> None:
    for dockerfile in DOCKER.glob("*Dockerfile"):
        for line in re.findall(r"^COPY (.+)$", dockerfile.read_text(), re.M):
            *sources, _ = line.split()
            for source in sources:
                assert (ROOT / source).exists(), f"{dockerfile.name} copies {source}"


def test_every_volume_dependency_and_build_file_exists() -> None:
    stack = compose()
    for name, service in stack["services"].items():
        for needed in service.get("depends_on", {}):
            assert needed in stack["services"], f"{name} depends on {needed}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in stack["volumes"] or (DOCKER / source).exists(), volume
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_settings_in_the_stack_are_settings_of_the_code() -> None:
    known = (ROOT / "assets" / "settings.py").read_text()
    instance = (DOCKER / "dagster.yaml").read_text()
    for name in compose()["services"]["code-location"]["environment"]:
        assert name in known or f"env: {name}" in instance, name


def test_instance_reads_only_variables_that_the_stack_sets() -> None:
    names = re.findall(r"env: (\w+)", (DOCKER / "dagster.yaml").read_text())
    assert set(names) <= set(compose()["services"]["daemon"]["environment"])


def test_workspace_points_at_the_code_location() -> None:
    workspace = yaml.safe_load((DOCKER / "workspace.yaml").read_text())
    server = workspace["load_from"][0]["grpc_server"]
    command = compose()["services"][server["host"]]["command"]
    assert str(server["port"]) in command and "orchestration.definitions" in command


def test_databases_answer_before_others_start_and_no_engine_socket_is_mounted() -> None:
    services = compose()["services"]
    assert services["webserver"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "docker.sock" not in (DOCKER / "compose.yaml").read_text()
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port


def test_services_with_a_workspace_file_name_no_module() -> None:
    """Dagster's command line refuses a workspace file and a module together."""
    services = compose()["services"].values()
    with_workspace = [s for s in services if "/opt/dagster/workspace.yaml" in s.get("command", [])]
    assert len(with_workspace) == 2
    assert all(s["environment"]["DAGSTER_MODULE_NAME"] == "" for s in with_workspace)


def test_databases_are_reached_with_the_driver_of_the_image() -> None:
    storage = yaml.safe_load((DOCKER / "dagster.yaml").read_text())["storage"]
    mlflow = compose()["services"]["mlflow"]["command"]
    address = mlflow[mlflow.index("--backend-store-uri") + 1]
    assert storage["postgres"]["postgres_db"]["scheme"] == address.partition(":")[0]
    _, driver = address.partition(":")[0].split("+")
    assert f"{driver}-binary" in (DOCKER / "Dockerfile").read_text()


def test_the_tracking_server_answers_to_its_name_in_the_stack() -> None:
    """MLflow refuses requests for hosts that it was not told of."""
    services = compose()["services"]
    address = services["code-location"]["environment"]["MLFLOW_TRACKING_URI"]
    command = services["mlflow"]["command"]
    allowed = command[command.index("--allowed-hosts") + 1].split(",")
    assert address.removeprefix("http://") in allowed
