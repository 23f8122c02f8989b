"""What is read from an event log is checked field by field, before anything is calculated or drawn from it."""

import pytest

from eafl_flower.results.event_fields import check_event

SETTINGS = (
    {"strategy__name": "emam", "codec__name": "int8"},
    {"strategy__name": "fedbuff"},
    {"strategy__name": "fedavg", "strategy__mode": "sync"},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings["strategy__name"])
def test_each_number_and_each_text_that_a_run_writes_is_refused_as_anything_else(make_run, settings):
    newest = {event["event"]: event for event in make_run(strategy__merges=60, **settings).events()}
    assert {"merge", "evaluate"} <= newest.keys()
    unchecked = []
    for kind, event in newest.items():
        check_event(event)
        for name in event.keys() - {"event"}:
            try:
                check_event(event | {name: [{}]})
            except ValueError as error:
                assert name in str(error)
            else:
                unchecked.append((kind, name))
    assert unchecked == []


def test_updates_may_be_weighed_by_what_is_no_count_and_a_weight_that_was_not_finite_is_null(make_run):
    merge = next(event for event in make_run(strategy__merges=5).events() if event["event"] == "merge")
    check_event(merge | {"num_examples": 0.5, "weight": None})
