import shutil
from pathlib import Path

import pytest


def break_version(run):
    run.description_path.write_text(run.description_path.read_text().replace("model 1", "model 7"))


def break_settings(run):
    run.config_path.write_text(run.config_path.read_text().replace("[task]", "[task]\nflavour = 3"))


def break_model(run):
    run.model_path.write_bytes(run.model_path.read_bytes()[:-8])


def break_arrays(run):
    """As of an earlier version, which did not note what the arrays were made from."""
    run.write_model({key: array[:-1] for key, array in run.model().items()})


def break_task(run):
    run.config_path.write_text(run.config_path.read_text().replace('hidden = "8,8"', 'hidden = "8,9"'))


def break_state(run):
    (path,) = run.state_dir.rglob(f"client-1/state-{run.description().client_states[1]}.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_version, "model.json cannot be used: it has the format 'eafl-flower model 7', this version of eafl-flo"),
        (break_settings, "task.flavour"),
        (break_model, "model.safetensors cannot be read: "),
        (break_task, "config.toml was changed after its run"),
        (break_arrays, "arrays that do not fit the model"),
        (break_state, ".safetensors is damaged: the head of client 1 cannot be read from it"),
        (lambda run: run.model_path.unlink(), "model.safetensors cannot be read: "),
        (lambda run: run.description_path.unlink(), "has no model.json: the run was made by an earlier version"),
        (lambda run: run.config_path.unlink(), "was not left by a run of eafl-flower"),
    ],
)
def test_a_run_that_cannot_be_used_is_one_error(copy, rows, eafl, damage, message):
    damage(copy)
    ended = eafl("predict", str(copy.path), "--client", "1", rows)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_run_that_did_not_end_says_how_to_go_on(copy, rows, eafl):
    for path in (copy.description_path, copy.summary_path, copy.checkpoint_path):
        path.unlink(missing_ok=True)
    ended = eafl("predict", str(copy.path), "--client", "1", rows)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    again = f"start it again with: eafl run {copy.config_path}"
    assert f"the run did not end; it left no checkpoint to go on from; {again}" in ended.err


def test_a_configuration_that_was_changed_after_the_run_is_refused(copy, rows, eafl):
    as_it_was = copy.config_path.read_text()
    copy.config_path.write_text(as_it_was.replace("learning-rate = 0.1", "learning-rate = 0.2"))
    ended = eafl("predict", str(copy.path), rows, "--client", "1", "--label", "truth")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "config.toml was changed after its run" in ended.err
    copy.config_path.write_text(as_it_was.replace('dir = "runs"', 'dir = "elsewhere"'))
    assert eafl("predict", str(copy.path), rows, "--client", "1", "--label", "truth").code == 0


def test_arrays_of_another_run_are_refused(copy, finished, rows, eafl):
    shutil.copy(Path(finished("lqgcm").path, "model.safetensors"), copy.model_path)
    ended = eafl("predict", str(copy.path), rows, "--client", "1")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "model.safetensors is of run 'lqgcm', but model.json of 'private'" in ended.err
