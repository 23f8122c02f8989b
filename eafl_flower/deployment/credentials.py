"""What a SuperLink and its nodes are known by: an authority, a server certificate, a key for each node.

For development and trials: the authority is made on the spot, and its key lies beside everything else. Node keys are
ECDSA in OpenSSH's format; Flower refuses others.
"""

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from eafl_flower.core.durable import PRIVATE_FOLDER, make_folder, write_atomically, write_private
from eafl_flower.errors import ConfigError

OWN_HOSTS = ("localhost", "127.0.0.1")  # by which the ServerApp reaches its SuperLink
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*")
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PEM = serialization.Encoding.PEM
_OPEN = serialization.NoEncryption()


def make_credentials(
    folder: Path,
    *,
    nodes: Sequence[str],
    hosts: Sequence[str] = (),
    address: str = "127.0.0.1:8000",
    days: int = 30,
    owner: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Make all that a deployment needs, and return the files.

    ::

        FOLDER/
        ├── certs/          ca.crt, which everybody trusts; ca.key; server.pem and server.key of the SuperLink
        ├── keys/NODE       the private key of a node, for it alone
        ├── public/NODE.pub its public key, to be registered with the SuperLink
        ├── flwr/config.toml where `flwr` finds the SuperLink; for FLWR_HOME
        └── .gitignore      leaves all of it out

    Parameters
    ----------
    folder
        Where they go; made if it is missing.
    nodes
        Names of the nodes; `add_nodes` makes keys of further ones.
    hosts
        Names and addresses that nodes and `flwr` call the SuperLink by, beside those of this machine's own.
    address
        Host and port by which `flwr` reaches the SuperLink.
    days
        How long the certificates last.
    owner
        User id that the private keys go to; by default they belong to whoever makes them.
    overwrite
        Replace what is there.

    Raises
    ------
    ConfigError
        If a name is none, or a file is there already.
    OSError
        If a file cannot be written, or given to ``owner``.
    """
    hosts = tuple(dict.fromkeys((*OWN_HOSTS, *hosts)))
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    if address.rpartition(":")[0].strip("[]") not in hosts or not address.rpartition(":")[2].isdecimal():
        raise ConfigError(f'address "{address}": expected HOST:PORT with one of the hosts {", ".join(hosts)}')
    _check_nodes(nodes)
    _check_owner(owner)
    certs = [folder / "certs" / name for name in ("ca.crt", "ca.key", "server.pem", "server.key")]
    settings = folder / "flwr" / "config.toml"
    if not overwrite:
        remedy = "choose another folder, or replace them by --overwrite; `add` makes keys of further nodes"
        _refuse_those_there([*certs, settings, *_key_files(folder, nodes)], remedy)

    _make_folders(folder, owner)
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca, server = _certificates(ca_key, server_key, names, days=days)
    ca_file, ca_key_file, server_file, server_key_file = certs
    write_atomically(ca_file, ca.public_bytes(_PEM))
    _write_key(ca_key_file, ca_key, serialization.PrivateFormat.PKCS8, None)
    write_atomically(server_file, server.public_bytes(_PEM))
    _write_key(server_key_file, server_key, serialization.PrivateFormat.PKCS8, owner)
    lab = {"address": address, "root-certificates": str(ca_file.resolve())}
    write_atomically(settings, tomli_w.dumps({"superlink": {"default": "lab", "lab": lab}}).encode())
    return [*certs, settings, *_write_node_keys(folder, nodes, owner)]


def add_nodes(folder: Path, nodes: Sequence[str], *, owner: int | None = None) -> list[Path]:
    """Make the keys of further nodes in a folder of ``make_credentials``, and return the files.

    Raises
    ------
    ConfigError
        If the folder is none of those, no name is given, a name is none, or has a key already.
    OSError
        If a file cannot be written, or given to ``owner``.
    """
    if not (folder / "certs" / "ca.crt").is_file():
        raise ConfigError(f"{folder} has no certs/ca.crt: `eafl credentials make` makes certificates and first keys")
    if not nodes:
        raise ConfigError("no node is named: expected names such as rsu-2,rsu-3")
    _check_nodes(nodes)
    _check_owner(owner)
    _refuse_those_there(_key_files(folder, nodes), "choose another name, or remove them first")
    _make_folders(folder, owner)
    return _write_node_keys(folder, nodes, owner)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        raise ConfigError(f'host "{name}": expected a name such as superlink.example.org, or an IP address')
    return x509.DNSName(name)


def _check_nodes(nodes: Sequence[str]) -> None:
    for name in nodes:
        if not _NODE.fullmatch(name) or name.endswith(".pub"):
            raise ConfigError(f'node "{name}": expected up to 64 letters, digits, points, lines and underscores')
    if len(set(nodes)) < len(nodes):
        raise ConfigError(f"nodes {', '.join(nodes)}: expected different names")


def _key_files(folder: Path, nodes: Iterable[str]) -> list[Path]:
    return [path for name in nodes for path in (folder / "keys" / name, folder / "public" / f"{name}.pub")]


def _check_owner(owner: int | None) -> None:
    if owner is not None and os.geteuid() not in (0, owner):
        raise ConfigError(f"only root gives files to user {owner}: do it as root, or as that user without --owner")


def _refuse_those_there(files: Iterable[Path], remedy: str) -> None:
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        msg = f"{there[0]}{more} would be replaced, and whoever has the old ones would be turned away: {remedy}"
        raise ConfigError(msg)


def _make_folders(folder: Path, owner: int | None) -> None:
    for name in ("certs", "public", "flwr"):
        make_folder(folder / name, durable=False)
    make_folder(folder / "keys", rights=PRIVATE_FOLDER, durable=False)
    _give(folder / "keys", owner)
    write_atomically(folder / ".gitignore", b"*\n")


def _certificates(
    ca_key: ec.EllipticCurvePrivateKey,
    server_key: ec.EllipticCurvePrivateKey,
    names: x509.SubjectAlternativeName,
    *,
    days: int,
) -> tuple[x509.Certificate, x509.Certificate]:
    now = datetime.now(UTC)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "eafl-flower development authority")])
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    unused = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)

    def certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))  # clocks differ
            .not_valid_after(now + timedelta(days=days))
        )

    signs = x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **unused)
    ca = (
        certificate(authority, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(signs, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "superlink")]), server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return ca, server


def _write_node_keys(folder: Path, nodes: Sequence[str], owner: int | None) -> list[Path]:
    files = _key_files(folder, nodes)
    for name, private, public in zip(nodes, files[::2], files[1::2], strict=True):
        key = ec.generate_private_key(ec.SECP384R1())
        _write_key(private, key, serialization.PrivateFormat.OpenSSH, owner)
        text = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_atomically(public, text + f" {name}\n".encode())
    return files


def _write_key(
    path: Path, key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat, owner: int | None
) -> None:
    write_private(path, key.private_bytes(_PEM, form, _OPEN), durable=False)
    _give(path, owner)


def _give(path: Path, owner: int | None) -> None:
    if owner is not None:
        os.chown(path, owner, -1)
