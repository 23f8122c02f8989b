"""Who holds the rows: what every data set is told of a run."""

from dataclasses import dataclass
from typing import Any

from eafl_flower.data.partition import Partition


@dataclass(frozen=True, kw_only=True)
class Holders:
    """Clients of a data set, and where its files are.

    Parameters
    ----------
    clients, unseen
        Number of clients, and how many of them never train; 0 and -1: what the data set says, a fifth.
    seed
        Seed of the run.
    dir
        Folder of the data; empty: the environment variable ``EAFL_DATA_DIR``.
    partition, dirichlet_alpha
        How clients share the rows, where the data have no clients of their own.
    """

    clients: int = 0
    unseen: int = -1
    seed: int = 1
    dir: str = ""
    partition: Partition = "dirichlet"
    dirichlet_alpha: float = 0.3

    @property
    def counts(self) -> dict[str, Any]:
        """Arguments of every loader: the counts and the seed."""
        return {"clients": self.clients, "unseen": self.unseen, "seed": self.seed}

    @property
    def of_files(self) -> dict[str, Any]:
        """Arguments of a loader of files that say whose a row is."""
        return self.counts | {"data_dir": self.dir}

    @property
    def sharing(self) -> dict[str, Any]:
        """Arguments of a loader whose clients share the rows."""
        return self.of_files | {"partition": self.partition, "dirichlet_alpha": self.dirichlet_alpha}
