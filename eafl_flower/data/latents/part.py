"""Files of latents as the data of an alignment: an access point's and one of each user."""

from dataclasses import dataclass

import numpy as np

from eafl_flower.core.settings import check_settings
from eafl_flower.data.holders import Holders
from eafl_flower.data.latents.files import read_latents
from eafl_flower.data.latents.pairs import refuse_other_images
from eafl_flower.data.latents.values import Latents
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts
from eafl_flower.data.tables.files import find_own
from eafl_flower.types import Rows


@dataclass(frozen=True, kw_only=True)
class LatentFiles:
    """Latents of the same images by several encoders, as ``eafl latents`` writes them.

    A row is the access point's latent, then the user's. Pilots are the rows of the split ``train``, scores are those of
    ``test``.

    Parameters
    ----------
    access_point
        File of the access point; here or in the data folder.
    users
        Files of the users, one for each client.

    Raises
    ------
    ConfigError
        If one is not named.
    """

    access_point: str = ""
    users: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = self.users and all(self.users)
        check_settings(
            self,
            access_point="" if self.access_point else "which file? give its path",
            users="" if named else 'which files? give their paths, as in "a.safetensors,b.safetensors"',
        )

    def make(self, holders: Holders) -> InMemorySource:
        """Read them.

        Raises
        ------
        DataError
            If a file is missing or damaged, has no pilots or no test rows, or is not of the same images.
        ConfigError
            If there are more clients than files of users.
        """
        clients, unseen = client_counts(
            holders.clients, holders.unseen, if_zero=len(self.users), available=len(self.users)
        )
        paths = (
            find_own(name, holders.dir, setting="data.latents", advice="make one with eafl latents")
            for name in (self.access_point, *self.users[:clients])
        )
        sent, *own = map(read_latents, paths)
        refuse_other_images(sent, own)
        classes = max(latents.classes for latents in (sent, *own))
        return InMemorySource(
            name="latents",
            class_names=tuple(str(number) for number in range(classes)),
            feature_names=tuple(f"access_point_{number}" for number in range(sent.size)),
            num_seen=clients - unseen,
            parts=tuple(_rows(sent, latents) for latents in own),
        )


def _rows(sent: Latents, own: Latents) -> Rows:
    train, test = (
        np.concatenate([sent.rows(split).absolute, own.rows(split).absolute], axis=1) for split in ("train", "test")
    )
    return Rows(x_train=train, y_train=own.rows("train").labels, x_test=test, y_test=own.rows("test").labels)
