"""What a source claims beside what we measured: one CSV, and the same as a table for people."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of ``claims.csv``; values are text, with their units."""

    claim: str
    source: str
    source_value: str
    our_value: str
    our_sd: str
    seeds: int
    baseline: str
    baseline_value: str
    holds: Literal["yes", "no", "partly"]
    command: str


def write_claims(path: Path, claims: Sequence[Claim]) -> None:
    """Write ``claims`` as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Claim)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(claim) for claim in claims)


def claims_table(claims: Sequence[Claim]) -> str:
    """Return ``claims`` as a Markdown table, without the commands."""
    names = [f.name for f in fields(Claim) if f.name != "command"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(getattr(claim, name)) for name in names) + " |" for claim in claims]
    return "\n".join(lines)
