"""What a node is told of its SuperLink is read at once, and what is wrong is said in one line."""

import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from eafl_flower.errors import ConfigError
from eafl_flower.node.link import AwayError, GivenUpError, Link, Patience


def write_key(path, key, *, password=None):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, how))
    return path


@pytest.mark.parametrize("superlink", ["", "localhost", ":9092", "host:", "host:port", "host:0", "host:70000"])
def test_an_address_has_a_host_and_a_port(superlink):
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        Link(superlink=superlink)


def test_a_key_is_an_ecdsa_key_without_a_passphrase(tmp_path):
    good = write_key(tmp_path / "good", ec.generate_private_key(ec.SECP384R1()))
    assert isinstance(Link(private_key=good).key(), ec.EllipticCurvePrivateKey)
    other = write_key(tmp_path / "other", ed25519.Ed25519PrivateKey.generate())
    (tmp_path / "text").write_text("no key")
    for bad in (other, tmp_path / "text"):
        with pytest.raises(ConfigError, match=r"is not an ECDSA key in OpenSSH's format.*ssh-keygen -t ecdsa"):
            Link(private_key=bad)
    with pytest.raises(ConfigError, match="missing cannot be read: No such file"):
        Link(private_key=tmp_path / "missing")


def test_certificates_are_a_pem_file(tmp_path):
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigError, match="holds no certificate"):
        Link(root_certificates=tmp_path / "text")
    assert Link().certificates() is None


def test_what_contradicts_itself_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="without TLS"):
        Link(insecure=True, root_certificates=tmp_path / "ca.crt")
    with pytest.raises(ConfigError, match="max_wait_s = -1"):
        Link(max_wait_s=-1)


def test_patience_ends_as_it_is_told():
    never = threading.Event()
    with pytest.raises(AwayError, match=r"after 1 tries in 0 s \(down\)"):
        Patience(Link(max_retries=0), never).wait("down")
    with pytest.raises(AwayError, match="start it, or wait longer"):
        Patience(Link(max_wait_s=0), never).wait("down")
    stop = threading.Event()
    stop.set()
    began_s = time.monotonic()
    with pytest.raises(GivenUpError):
        Patience(Link(), stop).wait("down")
    assert time.monotonic() - began_s < 1
