"""The words of a page that not everybody knows: each is explained where the pointer rests on it, and at the end."""

import html
import re
from collections.abc import Iterable
from typing import Final

from eafl_flower.results.report.page import Html, section, text

TERMS: Final = {
    "staleness": (
        "staleness",
        "How many merges were made between the moment a client got its model and the moment its update was merged. "
        "0: the update was made from the newest model.",
    ),
    "in-flight": (
        "in flight",
        "Jobs that are open at the same time: clients that were sent a model and have not answered yet.",
    ),
    "merge": (
        "merge",
        "One change of the server's model: by a single update when it arrives, or by all updates of a round.",
    ),
    "upload": ("upload", "What a client sends back after training: the change of the model, coded."),
    "before": (
        "before training",
        "The fleet's model as it is sent, with the client's own head if it has one, on test rows of clients that take "
        "part.",
    ),
    "after": ("after training", "The same after the client has trained one more job on its own rows."),
    "unlabelled": (
        "unseen, no label",
        "The fleet's model as it is, on clients that never took part and have not labelled a row.",
    ),
    "unseen": (
        "unseen clients",
        "Clients that never took part. They adapt the last layer to the few rows that they have labelled, or fit a "
        "fresh one.",
    ),
    "no-communication": (
        "no communication",
        "Each client trains alone: same model, same start, as many epochs. The difference to it is what federation "
        "brings.",
    ),
    "exact": ("exact updates", "The same run with float32 payloads. The difference to it is what the codec costs."),
    "pooled": (
        "pooled rows",
        "The same network trained on all rows in one place, as many steps: what one model for all reaches if nothing "
        "has to be sent.",
    ),
    "lookup": (
        "look-up of one feature",
        "A table from the one feature that names the class best to the most frequent class. No training.",
    ),
    "majority": ("majority class", "Every row is said to be of the most frequent class. No training."),
    "saved": (
        "saved",
        "The share of bytes that coding saves beside the same arrays as float32. Payloads alone, unless framing is "
        "said to be included.",
    ),
    "framing": ("framing", "What Flower adds around a payload: names, types, configuration."),
    "both-ways": (
        "both ways",
        "Up and down together, framing included, without each client's first job: it has to download a model that it "
        "does not know.",
    ),
    "virtual-time": (
        "virtual time",
        "The clock of a simulation: computed from bytes, rates of links and cycles, not from how fast this computer "
        "was.",
    ),
    "lost": ("lost", "The client vanished before its upload was there."),
    "refused": ("refused", "The update was not finite, did not fit the model, or could not be decoded."),
    "weight": ("weight of an update", "By how much an update moves the model, after the discount for its staleness."),
    "emam": (
        "EMAM",
        "Asynchronous merging: each update is merged when it arrives, weighed by its staleness; nobody waits.",
    ),
    "personal-head": (
        "personal head",
        "The last layers of the network that a client keeps to itself; only the backbone before them is shared.",
    ),
    "lqgcm": (
        "LQGCM",
        "A codec that sends an update as a few tuples of 88 bits on top of a prediction that both sides remember.",
    ),
    "emq": (
        "EMQ",
        "A codec that rounds an update to mantissas with one shared exponent, as many digits as the error that is "
        "allowed needs.",
    ),
    "int8": ("int8", "A codec that sends each value as one byte, with a scale for every block of values."),
    "laq": ("LAQ", "A codec that sends how weights differ from the last ones, with a fixed number of bits a value."),
    "aquila": ("AQUILA", "LAQ with a number of bits that is chosen for each upload."),
    "bits": ("bits a value", "Bits of the payload for each number of the model, everything included."),
    "bits-paper": (
        "counted by the codec's paper",
        "Bits as the paper of the codec counts them. They leave out what a decoder needs and cannot be sent as such.",
    ),
    "codec-error": ("codec error", "How far a decoded update is from the exact one, relative to its length."),
    "budget": ("budget", "What may be spent at most; a run with a budget ends when it is spent, or keeps to it."),
    "cell-free": (
        "cell-free uplink",
        "Many access points receive every user together; who sends how loudly is decided for all at once.",
    ),
    "rank": ("rank", "The size of an adapter: a larger one learns more, takes more energy and more bytes."),
    "ucb-dual": (
        "UCB-DUAL",
        "Chooses the rank of each job: by what ranks have been worth (an upper confidence bound, UCB) less a price on "
        "energy (the dual variable).",
    ),
    "lambda": (
        "price λ",
        "The price that UCB-DUAL puts on energy. It rises while jobs take more than their budget and falls to 0 while "
        "they take less.",
    ),
    "violation": (
        "violation",
        "By how much the mean energy of a job is above its budget. Below 0 the budget is kept.",
    ),
    "unit": ("roadside unit", "What a vehicle is connected to while it passes; it hands out the jobs of one task."),
    "leaving": (
        "leaving",
        "What a vehicle does that is about to leave its unit: upload early, migrate with its job to the next unit, or "
        "abandon it.",
    ),
    "alignment": (
        "alignment",
        "Precoder and equalizers are learnt together, so that latents of one encoder are understood by another one, "
        "over the air.",
    ),
    "mse": ("mean squared error", "The mean of the squared differences between what comes out and what should."),
    "objective": (
        "objective",
        "What the alignment minimises: the error over the pilots and the noise that the equalizer lets through.",
    ),
    "seed": ("seed", "The number that all draws of a run follow from: runs that differ in it alone show chance."),
    "deviation": (
        "±",
        "The standard deviation over the seeds of one combination (of a sample): how far single runs are apart.",
    ),
}
"""Names and definitions by the word that a link has."""

_USED = re.compile(r'href="#term-([a-z0-9-]+)"')


def term(key: str, word: str = "") -> Html:
    """Return a word with its definition: where the pointer rests on it, and as a link to the list of terms.

    Raises
    ------
    KeyError
        If it is not explained.
    """
    name, definition = TERMS[key]
    return Html(f'<a class="term" href="#term-{key}" title="{html.escape(definition)}">{text(word or name)}</a>')


def terms_section(parts: Iterable[str]) -> Html:
    """Return the list of those terms that occur in the parts of a page; nothing if none does."""
    used = {key for one in parts for key in _USED.findall(one)}
    entries = [
        f'<div id="term-{key}"><dt>{text(name)}</dt><dd>{text(definition, 1000)}</dd></div>'
        for key, (name, definition) in sorted(TERMS.items(), key=lambda item: item[1][0].lower())
        if key in used
    ]
    if not entries:
        return Html()
    return section("Terms", '<dl class="terms">\n' + "\n".join(entries) + "\n</dl>")
