"""Scores: what is measured of a model on a client's rows, and what its readers must know of it.

A task declares its scores; stop rules, means, tables, figures and reports read the declaration and know no score by
name. A score is measured in one or more phases: ``mse-before`` is the score ``mse`` before local training.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, NamedTuple

from eafl_flower.errors import ConfigError

PHASES: Final = ("before", "after", "unlabelled", "unseen")
"""Before local training, after one more local job; on clients that never trained, without a label and adapted."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_FORM: Final = re.compile(r"\.[0-9][fg]")
_MOST_LETTERS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Score:
    r"""One number that tells how good a model is on the test rows of a client.

    Over clients :math:`k` with weights :math:`w_k` it is averaged as

    .. math:: \frac{\sum_k w_k s_k}{\sum_k w_k}
              \quad\text{or}\quad
              \exp \frac{\sum_k w_k \ln s_k}{\sum_k w_k}

    The second, geometric mean is that of a perplexity :math:`s_k = e^{l_k}`: its logarithm, the loss a token, is
    what may be averaged over tokens.

    Parameters
    ----------
    name
        Lower case with hyphens; metrics are called ``name-before``, ``name-after``, ``name-unlabelled`` and
        ``name-unseen``.
    title
        What people call it.
    unit
        Unit of the printed number; "" if it has none.
    higher_is_better
        Which way is better.
    weighting
        ``"examples"``: a client weighs as many as it has scored rows (tokens, for a model of texts, if these are its
        rows); ``"clients"``: each client alike, but for those without rows.
    mean
        ``"arithmetic"`` or ``"geometric"``.
    least, most
        Between which values it lies; a client that reports another one is left out of the mean.
    factor, form
        A value is printed as ``factor * value`` in this format of Python's, such as ``".1f"`` or ``".4g"``.

    Raises
    ------
    ConfigError
        If the name could not be told from others, or the range or the format is none.

    Examples
    --------
    >>> ACCURACY.text(0.7123)
    '71.2 %'
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool
    weighting: Literal["examples", "clients"] = "examples"
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    least: float = -math.inf
    most: float = math.inf
    factor: float = 1.0
    form: str = ".4g"

    def __post_init__(self) -> None:
        wrong = []
        if not _NAME.fullmatch(self.name) or self.name.endswith(PHASES) or len(self.name) > _MOST_LETTERS:
            wrong.append(f"expected a name in lower case with hyphens that ends in none of {', '.join(PHASES)}")
        if not 0 < len(self.title) <= _MOST_LETTERS or len(self.unit) > _MOST_LETTERS:
            wrong.append(f"expected a title, and title and unit of at most {_MOST_LETTERS} letters")
        if self.weighting not in ("examples", "clients") or self.mean not in ("arithmetic", "geometric"):
            wrong.append('expected weighting "examples" or "clients" and mean "arithmetic" or "geometric"')
        if not self.least < self.most or (self.mean == "geometric" and not self.least > 0):
            wrong.append("expected least below most, and above 0 for a geometric mean")
        if not _FORM.fullmatch(self.form) or not (math.isfinite(self.factor) and self.factor > 0):
            wrong.append('expected a positive factor and a format such as ".1f" or ".4g"')
        if wrong:
            msg = f"score {self.name!r}: {'; '.join(wrong)}"
            raise ConfigError(msg)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names under which it is reported, one a phase."""
        return tuple(self.metric(phase) for phase in PHASES)

    def metric(self, phase: str) -> str:
        """Return the name under which it is reported in a phase; "" is none in particular."""
        return f"{self.name}-{phase}" if phase else self.name

    def key(self, phase: str) -> str:
        """Return its name in a phase where people read it: of the accuracy, the phase alone."""
        return phase if phase and self.name == ACCURACY.name else self.metric(phase)

    @property
    def range_text(self) -> str:
        """Between which values it lies, in words."""
        if math.isinf(self.most):
            return "any number" if math.isinf(self.least) else f"at least {self.least:g}"
        return f"at most {self.most:g}" if math.isinf(self.least) else f"{self.least:g} to {self.most:g}"

    def allows(self, value: float) -> bool:
        """Whether ``value`` is finite and in the range."""
        return math.isfinite(value) and self.least <= value <= self.most

    def average(self, weighed: Sequence[tuple[float, float]]) -> float:
        """Return the mean over clients of pairs (number of examples, value), of which one at least has examples.

        Raises
        ------
        ValueError
            If no client has examples, or a value has no logarithm and the mean is geometric.
        """
        pairs = [(float(weight > 0) if self.weighting == "clients" else weight, value) for weight, value in weighed]
        if self.mean == "geometric":
            return self._within(math.exp(weighted_mean([(w, math.log(value)) for w, value in pairs if w])))
        return self._within(weighted_mean(pairs))

    def _within(self, mean: float) -> float:
        """Return the mean, at an end of the range where rounding has carried it beyond."""
        return min(max(mean, self.least), self.most)

    def number(self, value: float) -> str:
        """Return a value as it is printed, without its unit."""
        return format(self.factor * value, self.form)

    def text(self, value: float | None) -> str:
        """Return a value as it is printed, or a dash for None."""
        return "-" if value is None else f"{self.number(value)} {self.unit}".rstrip()

    def to_record(self) -> dict[str, Any]:
        """Return the declaration as JSON has it: an end of the range that is infinite is null."""
        return {key: None if value in (math.inf, -math.inf) else value for key, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Score":
        """Return the score of ``to_record``; raises ``ConfigError`` or ``TypeError`` for anything else."""
        given = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        ends = {key: given[key] for key in ("least", "most") if given.get(key) is not None}
        return cls(**{key: value for key, value in given.items() if key not in ("least", "most")}, **ends)


ACCURACY: Final = Score(
    name="accuracy", title="accuracy", unit="%", higher_is_better=True, least=0.0, most=1.0, factor=100.0, form=".1f"
)
"""Share of rows whose class is named rightly."""


class Measured(NamedTuple):
    """A value of a score in a phase."""

    score: Score
    phase: str
    value: float

    @property
    def metric(self) -> str:
        """The name under which it is reported."""
        return self.score.metric(self.phase)

    @property
    def key(self) -> str:
        """Its name where people read it."""
        return self.score.key(self.phase)


def in_phase(phase: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return values by score as metrics of a phase: ``mse`` becomes ``mse-before``."""
    return {f"{name}-{phase}": value for name, value in values.items()}


def declared(metric: str, scores: Iterable[Score]) -> Score | None:
    """Return the score that is reported as ``metric``, in a phase or in none, and None if none of ``scores`` is."""
    return next((score for score in scores if metric == score.name or metric in score.metrics), None)


def measured(metrics: Mapping[str, float | None], scores: Sequence[Score]) -> list[Measured]:
    """Return those of a run's metrics that are of the declared scores, in the order of the metrics.

    A phase may have any name: somebody's clients may report ``accuracy-night``. None stands for a value that was not
    finite, and is left out.
    """
    found = []
    for metric, value in metrics.items():
        fitting = [score for score in scores if metric == score.name or metric.startswith(f"{score.name}-")]
        if fitting and value is not None:
            score = max(fitting, key=lambda s: len(s.name))
            found.append(Measured(score, metric[len(score.name) + 1 :], float(value)))
    return found


def guessed(metrics: Iterable[str]) -> tuple[Score, ...]:
    """Return scores for metrics that nobody has declared: the accuracy, and plain numbers for whatever has a phase."""
    named = {metric.rpartition("-")[0] for metric in metrics if metric.endswith(tuple(f"-{phase}" for phase in PHASES))}
    others = [name for name in sorted(named - {ACCURACY.name}) if _NAME.fullmatch(name) and len(name) <= _MOST_LETTERS]
    return ACCURACY, *(Score(name=name, title=name, higher_is_better=True) for name in others)


def weighted_mean(weighed: Sequence[tuple[float, float]]) -> float:
    """Return the mean of finite values with their weights, of which one at least is positive; it never overflows.

    Raises
    ------
    ValueError
        If no weight is positive.
    """
    total = sum(weight for weight, _ in weighed)
    if not total > 0:
        msg = "a mean of values without weight: expected one at least with a positive weight"
        raise ValueError(msg)
    mean = sum(weight * value for weight, value in weighed) / total
    if not math.isfinite(mean):
        mean = sum(weight / total * value for weight, value in weighed)
    values = [value for _, value in weighed]
    return min(max(mean, min(values)), max(values))
