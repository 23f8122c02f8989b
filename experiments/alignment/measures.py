"""What is read off recorded alignments: means with bands over seeds, and the rows of the one table of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from eafl_flower.alignment import compression
from experiments.alignment.settings import METHODS, WORLDS, Disjoint, Scenario, method_of

Result = Mapping[str, Any]
CONFIDENCE: Final = 0.95
CASES: Final[Mapping[str, str]] = {
    "federated": "Federated Semantic Alignment",
    "multi-link": "Multi-Link Semantic Alignment",
    "first-k": "Baseline First-K",
    "top-k": "Baseline Top-K",
}
"""What the source calls its methods; ours have their own titles."""
COLUMNS: Final = (
    "Dataset", "Seed", "Channel Usage", "Antennas Transmitter", "Antennas Receiver", "SNR", "Accuracy", "Loss",
    "Agent Model", "Base Station Model", "Case", "Latent Real Dim", "Latent Complex Dim", "Simulation",
    "Training Subset Ratio", "Group", "Noise Convention", "Pilots", "Exchange", "Pilot SNR", "CSI Error", "Correlation",
    "Late From", "MSE", "Variance", "Clean Accuracy",
)  # fmt: skip


@dataclass(frozen=True)
class Band:
    """Mean over seeds, and half the width of its 95 % interval (Student's t; 0 for a single seed)."""

    mean: float
    half: float
    n: int

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite for a single seed."""
        return float(self.half / stats.t.ppf((1 + CONFIDENCE) / 2, self.n - 1)) if self.n > 1 else float("inf")

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.half:.1f}"


def band(values: Sequence[float]) -> Band:
    """Return mean and 95 % interval of values over seeds."""
    n = len(values)
    if n < 2:
        return Band(float(np.mean(values)), 0.0, n)
    error = float(np.std(values, ddof=1)) / np.sqrt(n)
    return Band(float(np.mean(values)), float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error), n)


def gap(ours: Sequence[float], theirs: Sequence[float]) -> Band:
    """Return ours less theirs, paired by seed."""
    return band([a - b for a, b in zip(ours, theirs, strict=True)])


def accuracy(result: Result, users: slice = slice(None)) -> float:
    """Return the mean accuracy over users, or over some of them."""
    return float(np.mean(result["accuracy"][users]))


def clean_accuracy(result: Result) -> float:
    """Return the mean accuracy of the users' classifiers on their own clean latents."""
    return float(np.mean(result["clean"]))


def network_mse(result: Result, scenario: Scenario) -> float:
    """Return the source's network MSE: the sum over users of the mean squared error, divided by the channel uses."""
    return float(np.sum(result["mse"])) / scenario.uses


def relative_error(result: Result) -> float:
    """Return the mean over users of squared error over variance, whatever the scale; 1: guessing the mean."""
    return float(np.mean(np.array(result["mse"]) / np.array(result["variance"])))


def uses_counted(scenario: Scenario) -> int:
    """Return channel uses as they are reported: twice of Top-K, whose users must be told places."""
    method = method_of(scenario.method)
    return 2 * scenario.uses if isinstance(method, Disjoint) and method.select == "top" else scenario.uses


def zeta(scenario: Scenario, base_size: int) -> float:
    """Return the compression factor of the source [%], uses as reported over complex dimensions."""
    return 100 * compression(uses_counted(scenario), scenario.antennas, (base_size + 1) // 2)[0]


def rows(scenario: Scenario, result: Result, question: str) -> list[dict[str, Any]]:
    """Return a row for each user, with the source's columns first."""
    case = CASES.get(scenario.method, method_of(scenario.method).title)
    of_all = {
        "Dataset": WORLDS[scenario.world].images,
        "Seed": scenario.seed,
        "Channel Usage": uses_counted(scenario),
        "Antennas Transmitter": scenario.antennas,
        "Antennas Receiver": scenario.antennas,
        "SNR": scenario.snr_db,
        "Base Station Model": result["base"],
        "Case": case,
        "Simulation": question,
        "Training Subset Ratio": scenario.share,
        "Group": scenario.group,
        "Noise Convention": scenario.convention,
        "Pilots": scenario.pilots,
        "Exchange": scenario.exchange,
        "Pilot SNR": "" if scenario.pilot_snr_db is None else scenario.pilot_snr_db,
        "CSI Error": scenario.csi_error,
        "Correlation": scenario.correlation,
        "Late From": scenario.late_from,
    }
    found = []
    for place, user in enumerate(result["users"]):
        size, mse = result["sizes"][place], result["mse"][place]
        own = {
            "Accuracy": f"{result['accuracy'][place]:.5f}",
            "Loss": f"{mse / scenario.uses:.6g}",
            "Agent Model": user,
            "Latent Real Dim": size,
            "Latent Complex Dim": (size + 1) // 2,
            "MSE": f"{mse:.6g}",
            "Variance": f"{result['variance'][place]:.6g}",
            "Clean Accuracy": f"{result['clean'][place]:.5f}",
        }
        both = {**of_all, **own}
        found.append({name: both[name] for name in COLUMNS})
    return found


def title(method: str) -> str:
    """Return the name of a method for people."""
    return METHODS[method].title if method in METHODS else method_of(method).title
