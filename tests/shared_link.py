"""A radio for tests: one uplink whose rate is divided equally among those who upload."""

from dataclasses import dataclass
from typing import ClassVar

from eafl_flower.types import Grant, Phase


@dataclass(frozen=True)
class SharedLink:
    rate_bit_s: float = 1e3
    power_w: float = 0.2

    def __post_init__(self):
        object.__setattr__(self, "asked", [])  # (time, clients) of each question: no setting

    coupled: ClassVar = True

    def download(self, client, time_s, num_bytes):
        return Phase(time_s=8e-4 * num_bytes, energy_j=8e-5 * num_bytes)

    def grants(self, time_s, uploads):
        self.asked.append((time_s, sorted(upload.client for upload in uploads)))
        return [Grant(rate_bit_s=self.rate_bit_s / len(uploads), power_w=self.power_w) for _ in uploads]
