import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import command_line

from eafl_flower.config import RunConfig
from experiments.cells import Cell, Store, chosen
from experiments.claims import Claim, claims_table, write_claims

CALLS = []


def seed_of(config):
    CALLS.append(config.seed)
    if config.seed == 13:
        raise ValueError("unlucky")
    return {"seed": config.seed}


def cell(seed, **changes):
    return Cell(f"{__name__}:seed_of", RunConfig().replace({"seed": seed, **changes}), f"seed {seed}")


def double_of(settings):
    CALLS.append(settings["number"])
    return {"double": 2 * settings["number"]}


def data_digest(settings):
    return DATA[settings["set"]]


DATA = {"a": "1", "b": "1"}


def plain_cell(number, of):
    return Cell(f"{__name__}:double_of", {"number": number, "set": of}, f"{number} of {of}")


def sleep_of(settings):
    (Path(settings["set"]) / f"{os.getpid()}.pid").touch()
    time.sleep(600)
    return {}


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_a_result_is_calculated_once_also_by_a_later_store(tmp_path):
    store = Store(tmp_path / "cells.jsonl")
    store.run([cell(1), cell(2), cell(1)], jobs=1)
    again = Store(tmp_path / "cells.jsonl")
    again.run([cell(1), cell(2)], jobs=1)
    assert sorted(CALLS) == [1, 2]
    assert again[cell(2)]["seed"] == 2


def test_a_line_that_was_cut_off_is_calculated_again(tmp_path):
    path = tmp_path / "cells.jsonl"
    Store(path).run([cell(1), cell(2)], jobs=1)
    path.write_text(path.read_text()[:-20])
    store = Store(path)
    store.run([cell(1), cell(2)], jobs=1)
    assert CALLS == [1, 2, 2]
    assert {store[cell(s)]["seed"] for s in (1, 2)} == {1, 2}
    assert cell(2) in Store(path)


def test_one_that_fails_does_not_keep_the_others(tmp_path):
    store = Store(tmp_path / "cells.jsonl")
    with pytest.raises(ValueError, match="unlucky"):
        store.run([cell(13), cell(1)], jobs=1)
    assert cell(1) in store
    assert cell(13) not in store


def own_data(tmp_path, classes):
    rows = [f"{i % 3 + i / 97:.3f},{classes[i % 3]}" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,kind", *rows]) + "\n")
    csv = {"data.name": "csv", "data.csv.file": str(tmp_path / "rows.csv"), "data.csv.label-column": "kind"}
    return csv | {"data.clients": 4, "data.unseen": 1}


def test_results_on_data_that_have_changed_are_calculated_again(tmp_path, capsys):
    def run():
        Store(tmp_path / "cells.jsonl").run([cell(1, **own), cell(2, **own)], jobs=1)
        return capsys.readouterr().out

    own = own_data(tmp_path, "xyz")
    run()
    assert "changed" not in run()
    assert CALLS == [1, 2]
    own_data(tmp_path, "zxy")
    assert "csv: the data have changed, 2 results are calculated again" in run()
    assert CALLS == [1, 2, 1, 2]
    assert "changed" not in run()
    assert CALLS == [1, 2, 1, 2]


def test_results_that_do_not_say_their_data_are_counted(tmp_path, capsys):
    Store(tmp_path / "cells.jsonl").put(cell(1), {"seed": 1}, "")
    Store(tmp_path / "cells.jsonl").run([cell(1)], jobs=1)
    assert "1 results do not say what data they were made from" in capsys.readouterr().out
    assert CALLS == []


def test_settings_make_the_key_and_where_results_go_does_not():
    assert cell(1).key == cell(1, **{"results.dir": "elsewhere"}).key
    assert cell(1).key != cell(1, **{"strategy.emam.alpha": 0.5}).key


@pytest.mark.parametrize("preset", ["radio-map", "alp-unsw", "emq", "alignment"])
def test_what_is_chosen_makes_all_that_decides(preset):
    config = RunConfig.from_toml(preset)
    assert RunConfig.from_flat(chosen(config)).decisive() == config.decisive()


def test_defaults_are_not_chosen():
    assert chosen(RunConfig()) == {}
    config = RunConfig.from_flat({"strategy.merges": 7, "strategy.concurrency": RunConfig().strategy.concurrency})
    assert chosen(config) == {"strategy.merges": 7}


def test_a_setting_that_the_program_gets_later_leaves_keys_as_they_are(monkeypatch):
    key, decisive = cell(1).key, RunConfig.decisive
    monkeypatch.setattr(
        RunConfig, "decisive", lambda self: {k: v for k, v in decisive(self).items() if k != "job.deadline-s"}
    )
    assert cell(1).key == key  # as it was before there was a deadline


def doubled(config, given):
    return {"twice": 2 * given["number"]}


def test_what_a_cell_is_given_is_part_of_it(tmp_path):
    cells = [Cell(f"{__name__}:doubled", RunConfig(), "twice", {"number": number}) for number in (3, 4)]
    store = Store(tmp_path / "cells.jsonl")
    store.run(cells, jobs=1)
    assert [store[cell]["twice"] for cell in cells] == [6, 8]
    assert cells[0].key != Cell(f"{__name__}:doubled", RunConfig(), "twice").key


def test_claims_are_written_with_the_promised_columns(tmp_path):
    claim = Claim(
        claim="a, b",
        source="s",
        source_value="1",
        our_value="2",
        our_sd="0",
        seeds=3,
        baseline="b",
        baseline_value="1",
        holds="partly",
        command="c",
    )
    write_claims(tmp_path / "claims.csv", {"heads": [claim]})
    header, line = (tmp_path / "claims.csv").read_text().splitlines()
    assert header == "question,claim,source,source_value,our_value,our_sd,seeds,baseline,baseline_value,holds,command"
    assert line == 'heads,"a, b",s,1,2,0,3,b,1,partly,c'
    write_claims(tmp_path / "claims.csv", {"asynchrony": [claim, claim]})
    write_claims(tmp_path / "claims.csv", {"asynchrony": [claim]})
    _, *lines = (tmp_path / "claims.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["asynchrony", "heads"]
    assert claims_table([claim]).count("\n") == 2


def test_settings_may_be_plain_values_whose_module_knows_their_data(tmp_path, monkeypatch):
    cells = [plain_cell(1, "a"), plain_cell(2, "a"), plain_cell(3, "b")]
    Store(tmp_path / "cells.jsonl").run(cells, jobs=1)
    store = Store(tmp_path / "cells.jsonl")
    store.run(cells, jobs=1)
    assert CALLS == [1, 2, 3] and [store[c]["double"] for c in cells] == [2, 4, 6]
    assert len({c.key for c in cells}) == 3
    monkeypatch.setitem(DATA, "a", "2")
    monkeypatch.setitem(DATA, "b", "2")
    Store(tmp_path / "cells.jsonl").run(cells, jobs=1)
    assert CALLS == [1, 2, 3] * 2


def test_when_a_run_is_killed_its_processes_end(tmp_path):
    code = f"""
import sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
import test_cells
from experiments.cells import Cell, Store
test_cells.DATA[{str(tmp_path)!r}] = ""
if __name__ == "__main__":
    cells = [Cell("test_cells:sleep_of", {{"number": n, "set": {str(tmp_path)!r}}}, "sleep") for n in range(2)]
    Store(Path({str(tmp_path)!r}) / "cells.jsonl").run(cells, jobs=2)
"""
    (tmp_path / "run.py").write_text(code)

    def until(what):
        end_s = time.monotonic() + 60
        while not what() and time.monotonic() < end_s:
            time.sleep(0.05)
        return what()

    with subprocess.Popen([sys.executable, tmp_path / "run.py"]) as run:
        started = until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        run.kill()
    assert started
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert until(lambda: not any("spawn_main" in command_line(pid) for pid in pids))
