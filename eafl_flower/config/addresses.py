"""Addresses that a setting names: a port of this machine alone, or a host and a port."""

LOOPBACK = "127.0.0.1"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``"9464"``, ``"0.0.0.0:9464"`` or ``"[::1]:9464"``; a port alone is that of loopback.

    Raises
    ------
    ValueError
        If it is none; the text completes "key = value: ...".

    Examples
    --------
    >>> parse_address("9464"), parse_address("[::1]:9464")
    (('127.0.0.1', 9464), ('::1', 9464))
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "]" in host:
        port = ""  # an IPv6 address without brackets: nobody knows where its port begins
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16) or (not host and ":" in text):
        msg = 'expected a port from 1 to 65535, or host:port, as in "9464" or "0.0.0.0:9464"'
        raise ValueError(msg)
    return host or LOOPBACK, int(port)
