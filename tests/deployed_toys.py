"""The toy federation on the wall clock, with nodes that are threads."""

from toy_federation import Recorder, run_toy

from eafl_flower.codecs import LQGCMCodec

DIFFERENCES = LQGCMCodec(tuples=2, downlink_tuples=1)


class Director(Recorder):
    """Does something when a merge is told: a node goes or comes in the middle of a run."""

    def __init__(self, acts):
        super().__init__()
        self.acts = acts

    def write(self, event):
        super().write(event)
        if event["event"] == "merge" and (act := self.acts.pop(event["merge"], None)):
            act()


def run_deployed(grid, merges, **options):
    options = {"backoff_s": 0.05, "timeout": 30.0, **options}
    return run_toy(merges=merges, grid=grid, **options)


def merged_by(recorder):
    return {e["client"] for e in recorder.of("merge")}


def whole_jobs(run, recorder):
    """Merged jobs that got the 9 values and a header of 16 bytes; a tuple and its header take 39."""
    whole = run.models.raw_bytes + 16
    return {(e["client"], e["counter"]) for e in recorder.of("merge") if e["downlink_bytes"] == whole}
