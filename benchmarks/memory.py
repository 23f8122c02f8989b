"""Memory of a long run: what the process holds after 10,000, 100,000 and 1,000,000 merges.

    python benchmarks/memory.py [--merges 1000000]

Softmax regression of scale.py with 100 vehicles, 10 in flight, the default step, every event in a log file as
`eafl run` writes it, clients evaluated every 1,000 merges. Resident memory (VmRSS) is read between merges, after a
collection of garbage; after the last merge it may be at most 20 % above that after 10,000.
"""

import argparse
import gc
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import row, write_rows
from scale import build, client_app

from eafl_flower.engines import InlineGrid
from eafl_flower.results.event_log import EventLog
from eafl_flower.strategies import AsyncEMAM
from eafl_flower.wire.arrays import array_record

VEHICLES = 100
FIRST = 10_000
MOST_MORE = 1.2


class Memory:
    """Observer that writes events to a log and notes resident memory after each power of ten merges."""

    def __init__(self, log: EventLog, last: int) -> None:
        self._log, self._last = log, last
        self.resident_bytes: dict[int, int] = {}

    def write(self, event: Mapping[str, Any]) -> None:
        """Write the event; look at the memory."""
        self._log.write(event)
        merge = event.get("merge", 0) if event["event"] == "merge" else 0
        if merge == self._last or (merge >= FIRST and str(merge).strip("0") == "1"):
            gc.collect()
            self.resident_bytes[merge] = resident_bytes()
            print(f"{merge:>9,} merges: {self.resident_bytes[merge] / 1e6:.1f} MB", flush=True)

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def resident_bytes() -> int:
    """Return the resident memory of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=1_000_000, help="merges of the run (default 1,000,000)")
    merges = parser.parse_args().merges
    if merges <= FIRST:
        parser.error(f"--merges = {merges}: expected more than {FIRST:,}, the number that the last is compared with")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(EventLog(Path(folder) / "events.jsonl"), merges)
        strategy = AsyncEMAM(
            unit="merges", concurrency=10, seed=1, observer=memory, evaluate_clients=True, evaluate_every=1_000
        )
        initial = array_record("01", build(VEHICLES).initial(1))
        strategy.start(InlineGrid(client_app(VEHICLES), VEHICLES), initial, merges)
        log_bytes = (Path(folder) / "events.jsonl").stat().st_size
        memory.close()
    first = memory.resident_bytes[FIRST]
    rows = []
    for count, held in sorted(memory.resident_bytes.items()):
        against = {"peer": f"after {FIRST:,}", "peer_value": first / 1e6, "ratio": first / held}
        if count == FIRST:
            against = {}
        aim = 1 / MOST_MORE if count == merges else None
        rows.append(row(f"resident after {count:,} merges", held / 1e6, "MB", **against, aim=aim))
    rows.append(row("event log", log_bytes / 1e6, "MB"))
    rows.append(row("the whole run", time.perf_counter() - began_s, "s"))
    write_rows("memory", rows)


if __name__ == "__main__":
    main()
