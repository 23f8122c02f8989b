"""A link that is throttled for real, and nodes that state their powers: what a run books is what the wire allows.

One node is behind a cable that lets ``RATE_BIT_S`` through in either direction, the other on this machine. All
that a server sees of a link are bits over seconds, so a measured rate can be below what a link can do, never above it.
"""

import pytest
from federation import Federation, copy_app
from namespaces import namespace, why_not
from two_nodes import merges_of, run_of

pytestmark = pytest.mark.slow

RATE_BIT_S = 8e6
BURST_BYTES = 32_768  # what the shaper lets through at once
POWERS_W = {"compute-power-w": 15.0, "transmit-power-w": 0.25, "receive-power-w": 0.125}
JOB = """
seed = 7
data = {{ clients = 2, unseen = 0, idm = {{ rows-per-client = 32 }} }}
task.tabular = {{ hidden = "512,512" }}
strategy = {{ name = "fedavg", mode = "sync", merges = {merges} }} # each node has as many exchanges
codec.name = "none"
radio.constant-rate = {{ uplink-rate-bit-s = 1e6, downlink-rate-bit-s = 1e6 }}
results = {{ dir = "{results}", baselines = "none" }}
"""
NO_NAMESPACES = why_not()


@pytest.fixture(scope="module")
def merges(tmp_path_factory):
    """The merges of a run over two such links, by client."""
    if NO_NAMESPACES:
        pytest.skip(NO_NAMESPACES)
    folder = tmp_path_factory.mktemp("links")
    app = copy_app(folder / "eafl-flower")
    with namespace() as cable, Federation(folder / "federation", cable.here) as federation:
        cable.throttle(RATE_BIT_S, BURST_BYTES)
        federation.start_superlink()
        keys = [federation.make_key(f"node-{node}") for node in range(2)]
        federation.register(*keys)
        for node, (key, inside) in enumerate(zip(keys, ((), cable.inside), strict=True)):
            config = {"partition-id": node, "num-partitions": 2, "state-dir": str(folder / f"state-{node}"), **POWERS_W}
            federation.start_kept_node(f"node-{node}", key, config, inside=inside)
        results = folder / "results"
        results.with_suffix(".toml").write_text(JOB.format(merges=18, results=results))
        assert federation.wait(federation.submit(app, results.with_suffix(".toml")), 400) == "finished:completed"
        found = merges_of(run_of(results))
    return [[event for event in found if event["client"] == node] for node in range(2)]


def test_the_rate_of_a_throttled_link_is_at_most_its_own_and_at_least_a_quarter(merges):
    measured = [event["rate_bit_s"] for event in merges[1] if event["rate_source"] == "measured"]
    assert measured
    bits = 8 * max(event["uplink_framed_bytes"] for event in merges[1])
    assert max(measured) <= RATE_BIT_S * (1 + 2 * 8 * BURST_BYTES / bits)
    assert measured[-1] >= RATE_BIT_S / 4


def test_the_link_beside_it_is_faster(merges):
    last = [[event for event in of_node if event["rate_source"] == "measured"][-1] for of_node in merges]
    assert last[0]["rate_bit_s"] > 2 * last[1]["rate_bit_s"]


def test_joules_are_those_of_the_nodes_own_powers_at_the_measured_rate(merges):
    for event in (event for of_node in merges for event in of_node):
        assert event["power_source"] == "node"
        assert event["uplink_energy_j"] == pytest.approx(POWERS_W["transmit-power-w"] * event["uplink_time_s"])
        if event["rate_source"] == "measured":
            assert event["uplink_time_s"] == pytest.approx(8 * event["uplink_bytes"] / event["rate_bit_s"])
