"""What Prometheus is answered is what the events have told."""

import socket
import urllib.request

import pytest
from recorded_logs import FAILED, START, merge, status, trouble

prometheus_client = pytest.importorskip("prometheus_client", reason="needs the extra metrics")

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from eafl_flower.results.sinks.about import About  # noqa: E402
from eafl_flower.results.sinks.prometheus import MOST_SCORES, PrometheusSink  # noqa: E402
from eafl_flower.results.sinks.table import sinks_of  # noqa: E402


@pytest.fixture
def sink():
    sink = PrometheusSink("127.0.0.1", 0, "lab-1")
    yield sink
    sink.close()


def asked(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples}


def test_counters_and_gauges_are_the_sums_of_the_events(sink):
    events = [
        START,
        *(merge(n, staleness=n - 1) for n in range(1, 6)),
        trouble("error", 1, 6.0, "x"),
        trouble("lost", 2, 7.0),
    ]
    for event in [*events, status(5, 8.0, in_flight=1, there=2, away=(2,))]:
        sink.write(event)
    sink.write({"event": "evaluate", "merge": 5, "time_s": 8.0, "metrics": {"accuracy-before": 0.75, "x": None}})
    found = asked(sink.port)
    assert found["eafl_run_info", "lab-1"] == 1
    assert (found["eafl_merge",], found["eafl_merges_planned",]) == (5, 10)
    ends = {end: found["eafl_jobs_ended_total", end] for end in ("merge", "lost", "refused", "timeout", "error")}
    assert ends == {"merge": 5, "lost": 1, "refused": 0, "timeout": 0, "error": 1}
    assert found["eafl_energy_joules_total",] == 5 * 0.5 + 2 * 0.25
    assert found["eafl_bytes_total", "uplink"] == 7 * 10
    assert found["eafl_bytes_total", "downlink_framed"] == 7 * 24
    assert (found["eafl_staleness_merges_count",], found["eafl_staleness_merges_sum",]) == (5, 0 + 1 + 2 + 3 + 4)
    assert found["eafl_staleness_merges_bucket", "2.0"] == 3
    assert (found["eafl_in_flight",], found["eafl_nodes", "there"], found["eafl_nodes", "away"]) == (1, 2, 1)
    assert found["eafl_score", "accuracy-before"] == 0.75
    assert ("eafl_score", "x") not in found
    sink.write(FAILED)
    assert (asked(sink.port)["eafl_ended", "failed"], asked(sink.port)["eafl_in_flight",]) == (1, 0)


def test_clients_cannot_make_series_without_end(sink):
    metrics = {f"name {n}": 1.0 for n in range(3 * MOST_SCORES)}
    sink.write({"event": "evaluate", "merge": 1, "time_s": 1.0, "metrics": metrics})
    assert sum(key[0] == "eafl_score" for key in asked(sink.port)) == MOST_SCORES


def test_nothing_listens_once_it_is_closed():
    sink = PrometheusSink("127.0.0.1", 0, "lab")
    port = sink.port
    sink.close()
    with pytest.raises(OSError, match=r"refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_that_is_taken_leaves_the_endpoint_out_and_the_run_goes_on(tmp_path):
    said = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = str(taken.getsockname()[1])
        (sink,) = sinks_of((), address, About(name="lab", folder=tmp_path, settings={}), said.append)
        for number in range(1, 5):
            sink.write(merge(number))
        sink.close()
    assert len(said) == 1
    assert said[0].startswith(f"the endpoint for Prometheus at {address} is left out from here on")


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("eafl_flower.results.sinks.table.find_spec", lambda name: None)
    about = About(name="lab", folder=tmp_path, settings={})
    for names, address, extra in ((("mlflow",), "", "mlflow"), (("wandb",), "", "wandb"), ((), "9464", "metrics")):
        with pytest.raises(ImportError, match=rf"needs .*: pip install 'eafl-flower\[{extra}\]'"):
            sinks_of(names, address, about, print)
