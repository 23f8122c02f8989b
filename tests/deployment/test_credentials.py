import os
import stat
import subprocess
import tomllib
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from eafl_flower.deployment.credentials import add_nodes, make_credentials
from eafl_flower.errors import ConfigError


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_certificate_is_signed_by_the_authority_and_names_every_host(tmp_path):
    make_credentials(tmp_path, nodes=["rsu-0"], hosts=["superlink", "10.0.0.7", "::1"], days=3)
    ca, server = (
        x509.load_pem_x509_certificate((tmp_path / "certs" / f).read_bytes()) for f in ("ca.crt", "server.pem")
    )
    server.verify_directly_issued_by(ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "superlink"]
    addresses = [ip_address(text) for text in ("127.0.0.1", "10.0.0.7", "::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    assert 2 < (server.not_valid_after_utc - server.not_valid_before_utc).total_seconds() / 86400 < 4


def test_a_node_has_a_key_pair_of_its_own_in_the_format_that_flower_reads(tmp_path):
    make_credentials(tmp_path, nodes=["rsu-0", "rsu-1"])
    pairs = []
    for node in ("rsu-0", "rsu-1"):
        private = load_ssh_private_key((tmp_path / "keys" / node).read_bytes(), None)
        public = load_ssh_public_key((tmp_path / "public" / f"{node}.pub").read_bytes())
        assert private.curve.name == "secp384r1" and private.public_key() == public
        pairs.append(public)
    assert pairs[0] != pairs[1]


def test_private_keys_are_their_owners_alone_and_git_leaves_all_out(tmp_path):
    folder = tmp_path / "federation"
    make_credentials(folder, nodes=["rsu-0"])
    assert [rights(folder / name) for name in ("keys", "keys/rsu-0", "certs/server.key", "certs/ca.key")] == [
        0o700, 0o600, 0o600, 0o600,
    ]  # fmt: skip
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    seen = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, check=True, capture_output=True)
    assert seen.stdout == b""


def test_flowers_configuration_names_the_superlink_and_its_authority(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_credentials(Path("federation"), nodes=["rsu-0"], hosts=["superlink"], address="superlink:8443")
    written = tomllib.loads((tmp_path / "federation" / "flwr" / "config.toml").read_text())["superlink"]
    ca = tmp_path / "federation" / "certs" / "ca.crt"  # `flwr` may run anywhere
    assert written[written["default"]] == {"address": "superlink:8443", "root-certificates": str(ca)}


def test_nothing_is_replaced_unless_that_is_asked_for(tmp_path):
    made = make_credentials(tmp_path, nodes=["rsu-0"])
    before = {path: path.read_bytes() for path in made}
    with pytest.raises(ConfigError, match=r"6 more would be replaced.*--overwrite"):
        make_credentials(tmp_path, nodes=["rsu-0"])
    with pytest.raises(ConfigError, match=r"rsu-0 and 1 more would be replaced.*another name"):
        add_nodes(tmp_path, ["rsu-1", "rsu-0"])
    assert {path: path.read_bytes() for path in made} == before
    assert not (tmp_path / "keys" / "rsu-1").exists()
    make_credentials(tmp_path, nodes=["rsu-0"], overwrite=True)
    assert {path for path in made if path.read_bytes() == before[path]} == {tmp_path / "flwr" / "config.toml"}


def test_a_further_node_leaves_the_others_as_they_are(tmp_path):
    made = make_credentials(tmp_path, nodes=["rsu-0"])
    before = {path: path.read_bytes() for path in made}
    assert add_nodes(tmp_path, ["rsu-1"]) == [tmp_path / "keys" / "rsu-1", tmp_path / "public" / "rsu-1.pub"]
    assert {path: path.read_bytes() for path in made} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_the_private_keys_to_the_user_that_reads_them(tmp_path):
    make_credentials(tmp_path, nodes=["rsu-0"], owner=10001)
    add_nodes(tmp_path, ["rsu-1"], owner=10001)
    given = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.stat().st_uid == 10001}
    assert given == {"keys", "keys/rsu-0", "keys/rsu-1", "certs/server.key"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hosts": ["super link"]}, 'host "super link": expected a name'),
        ({"hosts": ["10.0.0.256"]}, 'host "10.0.0.256": expected a name'),
        ({"hosts": ["-x"]}, 'host "-x": expected a name'),
        (
            {"address": "superlink:8000"},
            r'address "superlink:8000": expected HOST:PORT with one of the hosts localhost',
        ),
        ({"address": "localhost"}, 'address "localhost": expected HOST:PORT'),
        ({"nodes": ["../rsu"]}, 'node "../rsu": expected up to 64'),
        ({"nodes": ["rsu-0", "rsu-0"]}, "expected different names"),
    ],
)
def test_what_is_no_name_is_refused_before_anything_is_written(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        make_credentials(tmp_path / "federation", **{"nodes": ["rsu-0"], **given})
    assert not (tmp_path / "federation").exists()


def test_who_is_not_root_gives_nothing_away(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="only root gives files to user 10001"):
        make_credentials(tmp_path / "federation", nodes=["rsu-0"], owner=10001)
    assert not (tmp_path / "federation").exists()


def test_nodes_are_added_to_what_was_made_only(tmp_path):
    with pytest.raises(ConfigError, match=r"has no certs/ca.crt: `eafl credentials make`"):
        add_nodes(tmp_path, ["rsu-0"])
    make_credentials(tmp_path, nodes=["rsu-0"])
    with pytest.raises(ConfigError, match="no node is named"):
        add_nodes(tmp_path, [])
