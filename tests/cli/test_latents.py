import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")
pytest.importorskip("sklearn", reason="needs scikit-learn: pip install scikit-learn")

from eafl_flower.data.latents import linear_cka, read_latents, refuse_other_images
from eafl_flower.models.latents import fit_classifier
from eafl_flower.models.latents.families import TRAININGS, Training

SMALL = ("--encoders", "mlp-8,cnn-8,mlp-8-2")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Encoders are trained for one pass."""
    monkeypatch.setitem(TRAININGS, "digits", Training(passes=1))


@pytest.mark.slow
def test_encoders_are_made_once_and_their_latents_compared(eafl, tmp_path):
    made = eafl("latents", "make", *SMALL)
    assert made.code == 0, made.err
    folder = tmp_path / "latents" / "digits"
    several = [read_latents(folder / f"{name}.safetensors") for name in ("mlp-8-1", "cnn-8-1", "mlp-8-2")]
    refuse_other_images(several[0], several[1:])
    accuracy = fit_classifier(several[1], seed=1).accuracy(several[1].rows("test"))
    likeness = linear_cka(several[0].rows("train").absolute, several[1].rows("train").absolute)
    (line,) = (line for line in made.out.splitlines() if line.startswith("cnn-8-1  "))
    assert line.split()[1:4:2] == ["8", "%"]
    assert f" {100 * accuracy:.1f} %" in line and line.endswith(f" {likeness:.3f}")
    assert "718 images train encoders of ours, 575 are pilots, 144 validate, 360 test" in made.out
    assert "trained on: digits, 718 images that are in no split" in made.out
    assert "15 points above it do not exist" in made.out

    shutil.rmtree(folder)
    again = eafl("latents", "make", *SMALL)
    assert "is trained" in made.out and "is trained" not in again.out
    np.testing.assert_array_equal(
        read_latents(folder / "cnn-8-1.safetensors").rows("val").absolute, several[1].rows("val").absolute
    )


def test_files_are_shown_and_those_of_other_images_refused(eafl):
    for seed in ("1", "2"):
        assert eafl("latents", "make", "--encoders", "mlp-8", "--out", seed, "--seed", seed).code == 0
    shown = eafl("latents", "show", "1/mlp-8-1.safetensors")
    assert "mlp-8-1: 8 numbers of digits; train 575, val 144, test 360; trained on digits, 718 images" in shown.out
    assert shown.out.splitlines()[-1].endswith("1.000")
    ended = eafl("latents", "show", "1/mlp-8-1.safetensors", "2/mlp-8-2.safetensors")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "rows are of other images" in ended.err


def test_encoders_of_others_look_at_the_same_images(eafl, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "theirs")
    done = eafl("latents", "extract", "theirs", "--images", "digits", "--encoder-share", "0.5", "--out", "both")
    assert done.code == 0, done.err
    assert eafl("latents", "make", "--encoders", "mlp-8", "--out", "both").code == 0
    both = eafl("latents", "show", "both/mlp-8-1.safetensors", "both/theirs.safetensors")
    assert both.code == 0, both.err
    assert "theirs: 8 numbers of digits" in both.out


def test_what_is_wrong_is_one_line(eafl):
    for arguments, told in (
        (("make", "--encoders", "rnn-8"), 'encoder "rnn-8": expected FAMILY-WIDTH'),
        (("make", "--encoders", "mlp-8,mlp-8-1"), "mlp-8-1: given twice"),
        (("make", "--images", "mnist"), 'images "mnist": expected digits or cifar10'),
        (("make", "--encoder-share", "0"), "no image of digits is set aside to train encoders"),
        (("show", "missing.npz"), "no file missing.npz"),
    ):
        ended = eafl("latents", *arguments)
        assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
        assert told in ended.err
    assert eafl("latents", "extract", "x", "--features", "best").code == 2
    assert eafl("latents", "make", "--threads", "0").code == 2
