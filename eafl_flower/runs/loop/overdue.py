"""Jobs that take far too long although their node is there: it is asked whether it still has them.

Flower tells when a node is away. Of a message or a reply that is lost while the node stays, or is back before anybody
looks, it tells nothing, and neither does it of a node whose ClientApp hangs.
"""

from collections.abc import Collection, Iterable
from logging import WARNING
from typing import Final

from flwr.app import Message

from eafl_flower.engines.flower_log import log
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.members.mailbox import was_delivered
from eafl_flower.runs.members.roster import roster_question
from eafl_flower.runs.state import Run

FIRST_S: Final = 60.0  # a younger job is not overdue
TIMES: Final = 3.0  # nor is one that is younger than so many times the longest job that was merged


class Overdue:
    """Asks nodes about overdue jobs, once for each job.

    A node handles its messages one after the other, in the order they were sent. So one that answers a question that
    was asked after a job has nothing more to say about the job: it is lost. One that answers neither computes still, or
    hangs.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._longest_s = 0.0
        self._asked: dict[str, tuple[Job, float]] = {}  # question -> the job it is about, when it was asked [s]
        self._told: set[str] = set()  # questions of which it was said that nobody answers

    @property
    def questions(self) -> list[str]:
        """Ids of the messages that wait for an answer."""
        return list(self._asked)

    @property
    def silent(self) -> set[int]:
        """Clients whose node has not answered for as long as makes a job overdue."""
        return {self._asked[question][0].client for question in self._told}

    def note_merged(self, job: Job, now_s: float) -> None:
        """Note how long a job took that was merged at ``now_s``."""
        self._longest_s = max(self._longest_s, now_s - job.price.dispatched_s)

    def look(self, now_s: float, away: Collection[int], forget_after_s: float) -> None:
        """Ask about jobs that have become overdue, of clients that are not ``away``; tell who does not answer."""
        wait_s = max(FIRST_S, TIMES * self._longest_s)
        self._forget(question for question, (_, since_s) in self._asked.items() if now_s - since_s > forget_after_s)
        about = {(job.client, job.counter) for job, _ in self._asked.values()}
        for job in self._run.jobs:
            is_overdue = now_s - job.price.dispatched_s > wait_s and job.client not in away
            if is_overdue and (job.client, job.counter) not in about:
                node = self._run.jobs.members[job.client].node_id
                if question := self._run.mail.push(node, *roster_question(greeting=self._run.options.greeting)):
                    self._asked[question] = job, now_s
        for question, (job, since_s) in self._asked.items():
            if now_s - since_s > wait_s and question not in self._told:
                self._told.add(question)
                text = (
                    "client %d has not answered for %.0f s (job %d; the longest merged job took %.0f s), and its node "
                    "is there: it hangs, or computes still; the job is given up %.0f s after it was sent "
                    "(job.deadline-s, or the timeout of all replies), and the client is left out of evaluations until "
                    "it answers"
                )
                sent_s = job.price.dispatched_s
                log(WARNING, text, job.client, now_s - sent_s, job.counter, self._longest_s, job.ends_s - sent_s)

    def take(self, answer: Message, inbox: Iterable[Message]) -> Job | None:
        """Take an answer; return the job that is proven to be lost, if its reply is not in the ``inbox``."""
        question = answer.metadata.reply_to_message_id
        job, _ = self._asked[question]
        self._forget([question])
        wire = self._run.jobs.wires.get(job.client)
        if self._run.jobs.of(job.client) is not job or wire is None or not was_delivered(answer):
            return None
        if any(reply.metadata.reply_to_message_id == wire.message_id for reply in inbox):
            return None
        text = "job %d of client %d was lost on its way: its node answers, and has no such job; it gets another one"
        log(WARNING, text, job.counter, job.client)
        return job

    def _forget(self, questions: Iterable[str]) -> None:
        for question in list(questions):
            del self._asked[question]
            self._told.discard(question)
