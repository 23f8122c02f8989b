import pytest

from eafl_flower.conformance.event_log import MERGE_FIELDS, check_events
from eafl_flower.errors import RunFailedError


def merge(number, client, **changes):
    event = dict.fromkeys(MERGE_FIELDS, 0)
    return event | {"event": "merge", "merge": number, "client": client, "time_s": number} | changes


def test_a_run_without_mistakes_passes(make_run):
    check_events(make_run().events())


def test_the_uploads_of_a_barrier_share_their_merge():
    check_events([merge(1, 0), merge(1, 1), merge(2, 0, counter=1)])


def test_the_merge_that_a_crash_took_may_be_missing():
    check_events([merge(1, 0), {"event": "missing", "reason": "a crash"}, merge(3, 1)])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (merge(2, 1, time_s=0.5), "time runs backwards"),
        (merge(3, 1), "merge 3 follows merge 1"),
        (merge(2, 1, base_version=2), "newer than the model"),
        (merge(2, 1, staleness=-1), "newer than the model"),
        (merge(2, 1, codec_error=-0.5), "codec_error is -0.5"),
        (merge(2, 1, bits_paper=float("nan")), "bits_paper is nan"),
        (merge(2, 0), "upload 0 of client 0 is merged twice"),
        ({"event": "merge", "merge": 2}, "lacks base_version"),
    ],
)
def test_an_impossible_event_is_named(second, message):
    with pytest.raises(RunFailedError, match=f"event 2 .*{message}"):
        check_events([merge(1, 0), second])
