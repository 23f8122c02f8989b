"""Nodes whose files do not go together (those that do: ``test_page``), and a server process that has no data at all."""

import pytest
from federation import NAME, Federation, copy_app

from eafl_flower.core.rng import generator
from eafl_flower.results.run_directory import RunDirectory

pytestmark = pytest.mark.slow

JOB = """
name = "own"

[data]
name = "own-rows"
clients = 2
unseen = 0

[data.own-rows]
label-column = "kind"

[task.tabular]
hidden = "8"

[strategy]
merges = 6

[job]
reply-timeout-s = 100.0

[results]
dir = "{results}"
"""


def write(path, client, header="kind,speed,gap"):
    rng = generator(client, "file")
    kinds = rng.choice(["brake", "keep", "turn"][client : client + 2], 60)
    rows = [f"{kind},{rng.normal(len(kind), 1):.3f},{rng.normal(client, 1):.3f}" for kind in kinds]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def federation(tmp_path):
    copy_app(tmp_path / "eafl-flower")
    with Federation(tmp_path / "federation") as federation:
        federation.env.pop("EAFL_DATA_DIR", None)
        federation.start_superlink()
        yield federation
        print(federation.logs())


def start(federation, node, rows):
    key = federation.make_key(f"node-{node}")
    federation.register(key)
    state = federation.folder / f"state-{node}"
    config = {"partition-id": node, "num-partitions": 2, "state-dir": str(state), "rows-file": str(rows)}
    federation.start_kept_node(f"node-{node}", key, config)


def run(federation, tmp_path, name):
    results = tmp_path / name
    job = tmp_path / f"{name}.toml"
    job.write_text(JOB.format(results=results))
    run_id = federation.submit(tmp_path / "eafl-flower", job)
    return federation.wait(run_id, 300), results, run_id


def test_a_node_with_other_columns_is_refused_by_one_line(federation, tmp_path):
    start(federation, 0, write(tmp_path / "first" / "rows.csv", 0))
    start(federation, 1, write(tmp_path / "second" / "rows.csv", 1, header="kind,speed,distance"))
    status, results, run_id = run(federation, tmp_path, "results")
    log = federation.flwr("log", run_id, NAME, "--show")
    assert "rows.csv has columns [speed, distance], expected [speed, gap] as in the run" in log
    assert status == "finished:completed"
    (path,) = results.iterdir()
    assert {e["client"] for e in RunDirectory.open(path).events() if e["event"] == "merge"} == {0}
