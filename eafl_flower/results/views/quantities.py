"""Quantities as people read them: three significant digits and a unit."""

_PREFIXES = ("", "k", "M", "G", "T", "P")


def bytes_text(count: float) -> str:
    """Return a number of bytes with a decimal prefix.

    Examples
    --------
    >>> bytes_text(999), bytes_text(313344), bytes_text(12345678)
    ('999 B', '313 kB', '12.3 MB')
    """
    return _scaled(count, "B")


def energy_text(energy_j: float) -> str:
    """Return an energy [J]; small ones in mJ.

    Examples
    --------
    >>> energy_text(0.0042), energy_text(12.34), energy_text(0)
    ('4.20 mJ', '12.3 J', '0 J')
    """
    if 0 < abs(energy_j) < 0.1:
        return f"{_three(energy_j * 1000)} mJ"
    return _scaled(energy_j, "J")


def time_text(time_s: float) -> str:
    """Return a duration [s]; long ones in minutes or hours.

    Examples
    --------
    >>> time_text(0.00002), time_text(0.012), time_text(12.34), time_text(754), time_text(7300)
    ('20 us', '12 ms', '12.3 s', '12 min 34 s', '2 h 2 min')
    """
    if time_s >= 3600:
        minutes = round(time_s / 60)
        return f"{minutes // 60:,} h {minutes % 60} min"
    if time_s >= 600:
        seconds = round(time_s)
        return f"{seconds // 60} min {seconds % 60} s"
    if 0 < time_s < 1e-4:
        return f"{_three(time_s * 1e6)} us"
    if 0 < time_s < 0.1:
        return f"{_three(time_s * 1000)} ms"
    return f"{_three(time_s)} s"


def percent_text(share: float | None) -> str:
    """Return a share in percent, or a dash for None.

    Examples
    --------
    >>> percent_text(0.7123), percent_text(None)
    ('71.2 %', '-')
    """
    return "-" if share is None else f"{100 * share:.1f} %"


def _scaled(value: float, unit: str) -> str:
    index = 0
    while abs(value) >= 999.5 and index < len(_PREFIXES) - 1:
        value, index = value / 1000, index + 1
    return f"{_three(value)} {_PREFIXES[index]}{unit}"


def _three(value: float) -> str:
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{decimals}f}"
