"""What fine-tuning with adapters costs: a step takes longer the higher the rank, by a measured line.

The table ``finetuning.json`` beside this module was measured by ``eafl encoder calibrate``, which says on which
processor; times on another one are these over its ``speed``.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, check_settings
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.types import Work

TABLE = "finetuning.json"


@dataclass(frozen=True, kw_only=True)
class StepTime:
    r"""The least-squares line :math:`t(\eta) = a + b \eta` through measured times of a step, over ranks.

    Parameters
    ----------
    seconds_per_step
        :math:`a` [s].
    seconds_per_rank
        :math:`b` [s].
    residual
        Largest distance of a measured time from the line, over that time.
    """

    seconds_per_step: float
    seconds_per_rank: float
    residual: float


def fit_step_time(ranks: Sequence[int], seconds: Sequence[float]) -> StepTime:
    """Fit the line.

    Parameters
    ----------
    ranks, seconds
        Ranks, and how long a step with adapters of each takes [s].

    Raises
    ------
    ConfigError
        If there are not two different ranks, a time is not positive, or no line can say what a step takes: it would
        take no time, or less the higher the rank.

    Examples
    --------
    >>> fit_step_time([4, 8, 16], [0.014, 0.018, 0.026]).seconds_per_rank
    0.001
    """
    if len(set(ranks)) < 2 or len(ranks) != len(seconds) or not all(0 < t < math.inf for t in seconds):
        raise ConfigError(
            f"ranks {list(ranks)} with times {list(seconds)}: expected two different ranks, each with a positive time"
        )
    slope, start = np.polyfit(np.asarray(ranks, float), np.asarray(seconds, float), 1).tolist()
    if start <= 0 or slope < 0:
        raise ConfigError(
            f"times {list(seconds)} at ranks {list(ranks)} are on no line that rises from a positive time: measure "
            "again, more often or on a machine that has nothing else to do"
        )
    residual = max(abs(start + slope * rank - t) / t for rank, t in zip(ranks, seconds, strict=True))
    return StepTime(seconds_per_step=round(start, 9), seconds_per_rank=round(slope, 12), residual=round(residual, 4))


@dataclass(frozen=True, kw_only=True)
class FineTuningEnergy:
    r"""Fine-tuning with adapters of a rank :math:`\eta`, at constant power.

    .. math:: t = \frac{s}{v} \frac{n E}{m} (a + b \eta), \qquad e = P t

    for :math:`n` rows, :math:`E` epochs and a slowdown :math:`s`. The last batch of a pass counts as the part of a
    batch that it is. Energy grows with the slowdown, for the processor draws :math:`P` for longer;
    ``Processors.power_w`` gives slow ones a power of their own.

    Parameters
    ----------
    seconds_per_step, seconds_per_rank
        :math:`a` and :math:`b` of a step with one batch [s], without slowdown.
    batch_size
        Rows :math:`m` of the batch that was measured. Clients may train with another: time goes by rows.
    speed
        How many times as fast :math:`v` the clients' processors are as the one that was measured.
    power_w
        Power :math:`P` while it computes [W].

    Raises
    ------
    ConfigError
        If a parameter is out of range.

    References
    ----------
    Zheng et al., arXiv 2508.09532, of which the abstract alone was read; its released code multiplies a measured wall
    time by :math:`1 - ((51 - \eta)/43)^2/2`, which falls above rank 51. The line is ours, the power of 10 W theirs.

    Examples
    --------
    >>> model = FineTuningEnergy(seconds_per_step=0.02, seconds_per_rank=0.001, batch_size=16)
    >>> work = Work(num_examples=160, epochs=2, rank=30)
    >>> model.compute_time_s(work), model.compute_energy_j(work)
    (1.0, 10.0)
    """

    seconds_per_step: Positive
    seconds_per_rank: NotNegative
    batch_size: CountFromOne = 16
    speed: Positive = 1.0
    power_w: Positive = 10.0

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def measured(
        cls,
        encoder: str = "bert 4 x 128",
        *,
        speed: float = 1.0,
        power_w: float = 10.0,
        whole: bool = False,
        table: str | os.PathLike[str] = "",
    ) -> "FineTuningEnergy":
        """Return the model of an encoder in a table.

        Parameters
        ----------
        encoder
            Its name in the table.
        speed, power_w
            As of the class.
        whole
            Whether all weights are trained instead of adapters; the rank then makes no difference.
        table
            A file that ``eafl encoder calibrate`` wrote; the one of this package if empty.

        Raises
        ------
        ConfigError
            If the encoder is not in the table, or a parameter is out of range.
        DataError
            If the table is missing or damaged.
        """
        times = _read(table)
        batch_size, encoders = times["batch_size"], times["encoders"]
        if encoder not in encoders:
            raise ConfigError(
                f'encoder "{encoder}": the table has {", ".join(encoders)}; measure it by eafl encoder calibrate'
            )
        entry = encoders[encoder]
        try:
            start, slope = (entry["whole_s"], 0.0) if whole else (entry["seconds_per_step"], entry["seconds_per_rank"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{table or TABLE}: no times of {encoder}; write it again by eafl encoder calibrate"
            ) from error
        return cls(seconds_per_step=start, seconds_per_rank=slope, batch_size=batch_size, speed=speed, power_w=power_w)

    def compute_time_s(self, work: Work) -> float:
        """Time the client computes [s]."""
        steps = work.num_examples * work.epochs / self.batch_size
        return work.slowdown * steps * (self.seconds_per_step + self.seconds_per_rank * work.rank) / self.speed

    def compute_energy_j(self, work: Work) -> float:
        """Energy the client computes with [J]; grows with the slowdown."""
        return self.power_w * self.compute_time_s(work)


def step_times(measured: Mapping[int, float], whole_s: float) -> dict[str, Any]:
    """Return an encoder's entry in a table: times of a step by rank [s], the line through them, and all weights'."""
    line = fit_step_time(list(measured), list(measured.values()))
    return {"seconds_by_rank": {str(rank): t for rank, t in measured.items()}, "whole_s": whole_s, **asdict(line)}


def _read(table: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        if str(table):
            text = Path(table).read_text(encoding="utf-8")
        else:
            text = resources.files("eafl_flower.energy").joinpath(TABLE).read_text(encoding="utf-8")
        times = json.loads(text)
        if isinstance(times["batch_size"], int) and isinstance(times["encoders"], dict):
            return dict(times)
    except OSError as error:
        raise DataError(f"no table of training times {table}: write it by eafl encoder calibrate") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{table or TABLE} is no table of training times: write it again by eafl encoder calibrate")
