"""Peak memory of a process that fine-tunes at one rank.

Each measurement is a process of its own. Its peak is read from ``/proc/self/status`` (VmHWM): the one that
``resource.getrusage`` gives is not below the peak of whoever started the process.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from experiments.ucb_dual import record

NEAR_BYTES: Final = 1 << 20
_STATUS, _PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
data_digest = record.data_digest


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the peak of a process while it trains one job of ``rank`` on the first task.

    ``peak_bytes`` is that of the whole process with its libraries and the base model, ``training_bytes`` by how much
    it is above what was resident before; -1 where the system does not tell.
    """
    command = [sys.executable, "-m", "experiments.ucb_dual.memory", json.dumps(dict(settings))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the process that was to be measured failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def resident_bytes(name: str) -> int:
    """Return "VmRSS", what of this process is resident, or "VmHWM", its peak [byte]; -1 if the system does not tell."""
    if not _STATUS.exists():
        return -1
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return 1024 * int(lines[name].split()[0])


def forget_peak() -> bool:
    """Let the peak begin anew at what is resident now, and return whether the system has done so.

    Some systems take the request and do nothing.
    """
    if _PEAK.exists():
        _PEAK.write_text("5")
    return 0 <= resident_bytes("VmHWM") - resident_bytes("VmRSS") < NEAR_BYTES


def _measured(settings: Mapping[str, Any]) -> dict[str, int]:
    from eafl_flower.core.rng import generator
    from experiments.ucb_dual.learning import world_of
    from experiments.ucb_dual.record import scenario_of

    scenario = scenario_of(settings)
    world = world_of(scenario)
    name, task = next(iter(world.tasks.items()))
    owned = world.vehicles[0][name].train
    rows = owned.part(np.arange(min(scenario.rows, len(owned))))
    arrays = task.init(generator(scenario.seed), scenario.rank)
    begun = forget_peak()
    before, peak = resident_bytes("VmRSS"), resident_bytes("VmHWM")
    task.train(arrays, rows, generator(scenario.seed), epochs=scenario.epochs)
    after = resident_bytes("VmHWM")
    told = before >= 0 and (begun or after > peak)
    return {"peak_bytes": after, "training_bytes": after - before if told else -1}


if __name__ == "__main__":
    print(json.dumps(_measured(json.loads(sys.argv[1]))))
