"""`eafl node` in the place of SuperNodes: over the same wires it gives what its updates give in the pure core."""

import pytest
from federation import Federation, copy_app
from test_over_real_wires import assert_arrays_are_those_of_the_pure_core, merges_of, run_of, state_dir, submit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """A SuperLink with two nodes that keep their model."""
    folder = tmp_path_factory.mktemp("kept")
    copy_app(folder / "eafl-flower")
    with Federation(folder / "federation") as federation:
        federation.start_superlink()
        for node in range(2):
            key = federation.make_key(f"node-{node}")
            federation.register(key)
            start_node(federation, node)
        yield federation


@pytest.fixture(autouse=True)
def logs(federation):
    """Let a failed test show what the processes wrote."""
    yield
    print(federation.logs())


def start_node(federation, node):
    config = {"partition-id": node, "num-partitions": 2, "state-dir": str(state_dir(federation, node))}
    return federation.start_kept_node(f"node-{node}", federation.folder / "keys" / f"node-{node}", config)


def test_merged_arrays_are_those_of_the_pure_core(federation, tmp_path):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=12, codec="lqgcm")
    assert federation.wait(run_id, 400) == "finished:completed"
    run = run_of(results)
    assert_arrays_are_those_of_the_pure_core(run)
    summary, merges = run.summary(), merges_of(run)
    assert {event["client"] for event in merges} == {0, 1}
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (12, 0, 0, 0)
    for node in range(2):
        assert federation.log(f"node-{node}").count("stays in memory") == 1
