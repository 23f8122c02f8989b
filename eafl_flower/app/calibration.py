"""What one training step really costs on this machine, as settings for the energy model."""

import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Time of training, measured.

    ``seconds_per_step`` and ``seconds_per_sample`` are medians over ``repeats`` passes over
    ``num_examples`` rows in ``steps`` batches.
    """

    task: str
    num_examples: int
    steps: int
    repeats: int
    seconds_per_step: float
    seconds_per_sample: float
    frequency_hz: float

    @property
    def cycles_per_sample(self) -> float:
        """Clock cycles a sample takes if this machine ran at ``frequency_hz``: t f."""
        return self.seconds_per_sample * self.frequency_hz

    def to_toml(self) -> str:
        """Return a file for ``eafl run --config``; the measurement and its hash stand in its comments."""
        values = asdict(self)
        sha = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        lines = [
            "# Measured by eafl calibrate: what a training step costs on this machine.",
            f"# machine = {json.dumps(platform.platform())}",
            *(f"# {key.replace('_', '-')} = {json.dumps(value)}" for key, value in values.items()),
            f"# sha256 = {json.dumps(sha)}",
            "[energy]",
            f"cycles-per-sample = {round(self.cycles_per_sample, 1)!r}",
            f"frequency-hz = {self.frequency_hz!r}",
        ]
        return "\n".join(lines) + "\n"


def calibrate(
    train: Callable[[], None],
    *,
    task: str,
    num_examples: int,
    steps: int,
    frequency_hz: float,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Calibration:
    """Time ``train``, one pass over ``num_examples`` rows in ``steps`` batches.

    Parameters
    ----------
    train
        Makes the pass; called once more than ``repeats``, because the first is a warm-up.
    task
        What is trained, for the record.
    num_examples, steps
        Rows and batches of a pass.
    frequency_hz
        Clock of the energy model, to which the measured time is converted [Hz].
    repeats
        Passes that count.
    clock
        Returns the time [s].
    """
    train()
    times = []
    for _ in range(repeats):
        began = clock()
        train()
        times.append(clock() - began)
    pass_s = statistics.median(times)
    return Calibration(
        task=task,
        num_examples=num_examples,
        steps=steps,
        repeats=repeats,
        seconds_per_step=pass_s / steps,
        seconds_per_sample=pass_s / num_examples,
        frequency_hz=frequency_hz,
    )
