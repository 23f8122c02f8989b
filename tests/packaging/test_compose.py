"""What docker-compose.yml and the image promise, read from the files."""

import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
NODES = {name: service for name, service in SERVICES.items() if service["command"][0] == "flower-supernode"}
CONFIGS = {path.stem: tomllib.loads(path.read_text()) for path in (CHECKOUT / "clients").glob("*.toml")}


def mounts(service):
    """Return what is mounted at each path: source and whether it is read-only."""
    parts = [entry.split(":") for entry in service["volumes"]]
    return {target: (source, mode == ["ro"]) for source, target, *mode in parts}


def test_there_is_a_superlink_and_a_node_for_each_node_configuration():
    assert set(NODES) == set(CONFIGS) and len(NODES) >= 3
    assert SERVICES["superlink"]["command"][0] == "flower-superlink"


def test_keys_that_only_version_2_of_compose_knows_are_not_used():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"version", "services", "volumes", "secrets"}
    known = {
        *("image", "build", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "restart", "stop_grace_period"),
        *("command", "secrets", "volumes", "ports", "healthcheck", "depends_on"),
    }
    assert {key for service in SERVICES.values() for key in service} <= known


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_change_nothing_but_its_volume(name):
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(only_read for target, (_, only_read) in mounts(service).items() if target != "/var/lib/eafl-flower")


@pytest.mark.parametrize("name", ["superlink", *NODES])
def test_what_runs_for_long_is_looked_after(name):
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_the_image_runs_as_nobody_in_particular():
    last = [line for line in (CHECKOUT / "docker" / "Dockerfile").read_text().splitlines() if line.startswith("USER ")][
        -1
    ]
    assert last == "USER 10001:10001"


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_its_own_key_rows_and_state_and_nobody_elses(name):
    node, config = NODES[name], CONFIGS[name]
    assert node["secrets"] == ["ca.crt", {"source": name, "target": "key"}]
    assert COMPOSE["secrets"][name] == {"file": f"./federation/keys/{name}"}
    held = mounts(node)
    assert held.pop(config["rows-file"]) == (f"./federation/rows/{name}.csv", True)
    assert held.pop("/etc/eafl/node.toml") == (f"./clients/{name}.toml", True)
    ((target, (volume, _)),) = held.items()
    assert volume == name and volume in COMPOSE["volumes"]
    assert PurePosixPath(config["state-dir"]).is_relative_to(target)


def test_only_public_keys_are_where_they_are_registered_from():
    assert mounts(SERVICES["register"]) == {"/federation/public": ("./federation/public", True)}


def test_nothing_of_the_federation_is_committed():
    paths = [secret["file"] for secret in COMPOSE["secrets"].values()]
    ignored = subprocess.run(
        ["git", "check-ignore", "--stdin"],
        cwd=CHECKOUT,
        input="\n".join(paths),
        text=True,
        capture_output=True,
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not a checkout of git")
    assert ignored.stdout.split() == paths


def test_the_job_for_the_containers_is_valid_and_has_no_data_on_the_server():
    from eafl_flower.config import RunConfig

    config = RunConfig.from_toml(CHECKOUT / "docker" / "jobs" / "three-rsus.toml")
    assert config.data.name == "own-rows"
    assert PurePosixPath(config.results.dir).is_relative_to("/var/lib/eafl-flower")
