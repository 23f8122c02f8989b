"""What a source claims beside what we measured: one CSV, and the same as a table for people."""

import csv
from collections.abc import Mapping, Sequence
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


def write_claims(path: Path, claims: Mapping[str, Sequence[Claim]]) -> None:
    """Write the claims of some questions as CSV; those of other questions that are there stay."""
    columns = ["question", *(f.name for f in fields(Claim))]
    kept = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [line for line in csv.DictReader(file) if line["question"] not in claims]
    new = [{"question": question, **asdict(claim)} for question, found in claims.items() for claim in found]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *new], key=lambda line: line["question"]))


def claims_table(claims: Sequence[Claim]) -> str:
    """Return ``claims`` as a Markdown table, without the commands."""
    names = [f.name for f in fields(Claim) if f.name != "command"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(getattr(claim, name)) for name in names) + " |" for claim in claims]
    return "\n".join(lines)
