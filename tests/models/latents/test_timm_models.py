import os
import pickle
import sys
import types
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.models.extras import require

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from safetensors.torch import save_file  # noqa: E402

from eafl_flower.models.latents.encoders import open_encoder  # noqa: E402
from eafl_flower.models.latents.extraction import features_of  # noqa: E402
from eafl_flower.models.latents.view import View  # noqa: E402

PIXELS = generator(1, "encoders").integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
MODEL = "test_resnet"  # half a million weights, of which timm's own tests make use


class Network(torch.nn.Module):
    """A model as those of timm are: layers, and a classifier that can be taken off."""

    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(3 * 16 * 16, 5), torch.nn.Linear(5, 2)

    def reset_classifier(self, num_classes):
        assert num_classes == 0
        self.head = torch.nn.Dropout()

    def forward(self, images):
        return self.head(self.body(images.flatten(1)))


@pytest.fixture
def stand_in(monkeypatch):
    """Stands in for timm, in the names that we use of it."""
    torch.manual_seed(1)
    network = Network()

    def create_model(name, *, pretrained, pretrained_cfg_overlay):
        assert pretrained and name == "tiny" and not pretrained_cfg_overlay
        return network.train()

    settings = {
        "input_size": (3, 16, 16), "interpolation": "bicubic", "crop_pct": 0.8, "crop_mode": "center",
        "mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0),
    }  # fmt: skip
    timm = types.ModuleType("timm")
    timm.create_model, timm.data = create_model, types.SimpleNamespace(resolve_model_data_config=lambda model: settings)
    timm.is_model, timm.is_model_pretrained = ("tiny", "bare").__contains__, "tiny".__eq__
    timm.list_models = lambda filter="", pretrained=False: ["tiny"] if pretrained else ["tiny", "bare"]
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setattr("eafl_flower.models.extras.find_spec", lambda name: None)  # no torchvision
    return network


def test_an_encoder_of_timm_sees_images_as_its_settings_say(stand_in):
    encoder = open_encoder("timm:tiny")
    assert (encoder.name, encoder.view) == ("tiny", View(side=16, resized=20, mean=(0.1, 0.2, 0.3), sd=(1.0, 2.0, 3.0)))
    expected = stand_in.eval()(encoder.view(PIXELS, 255)).detach().numpy()
    assert expected.shape == (3, 5)
    np.testing.assert_array_equal(features_of(encoder, PIXELS, 255), expected)


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("timm:tyny", r'"timm:tyny": timm has no such model; did you mean tiny\? expected NAME, NAME=FILE, local-dir:'),
        ("timm:huge=a.pth", r'"timm:huge=a\.pth": timm has no such model; expected'),
        ("timm:=a.pth", r'"timm:=a\.pth": timm has no such model; expected'),
        ("timm:tiny=a.pth", r"timm:tiny=a\.pth: no file a\.pth$"),
        ("timm:tiny=", r'"timm:tiny=": expected NAME, NAME=FILE, local-dir:FOLDER or hf-hub:NAME$'),
        ("timm:tiny=.", r'\. is a folder; timm:local-dir:\. takes one$'),
        ("timm:bare", r'"timm:bare": timm has no weights of it; weights that are here: timm:NAME=FILE or'),
        ("timm:local-dir:.", r"no file config\.json.*a folder of timm\.models\.save_for_hf"),
    ],
)  # fmt: skip
def test_what_timm_cannot_open_is_one_line(stand_in, monkeypatch, tmp_path, encoder, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    with pytest.raises((ConfigError, DataError), match=told) as raised:
        open_encoder(encoder)
    assert "\n" not in str(raised.value)


def test_without_timm_what_brings_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'eafl-flower\[timm\]'"):
        open_encoder("timm:vit_tiny_patch16_224")


@pytest.fixture(scope="module")
def timm():
    """The real timm."""
    if not find_spec("timm"):
        pytest.skip("needs timm: pip install 'eafl-flower[timm]'")
    require("timm's tests", "timm", extra="timm")
    return sys.modules["timm"]


def model_of(timm, seed=1, **settings):
    """A model with random weights, also of the statistics that batch norm has, which are 0 and 1 in new ones."""
    torch.manual_seed(seed)
    model = timm.create_model(MODEL, **settings).train()
    with torch.no_grad():
        model(torch.randn(8, model.pretrained_cfg["input_size"][0], 64, 64))
    return model.eval()


def features_by_timm(model, encoder, pixels=PIXELS):
    with torch.inference_mode():
        seen = encoder.view(pixels, 255)
        return model.forward_head(model.forward_features(seen), pre_logits=True).numpy()


@pytest.mark.parametrize("classes", [0, 7, 1000])
@pytest.mark.parametrize("extension", ["pth", "safetensors"])
def test_weights_of_a_file_give_the_features_that_timm_gives(timm, tmp_path, classes, extension):
    model, path = model_of(timm, num_classes=classes), tmp_path / f"mine.{extension}"
    (partial(save_file, metadata={"format": "pt"}) if extension == "safetensors" else torch.save)(
        model.state_dict(), path
    )
    encoder = open_encoder(f"timm:{MODEL}={path}")
    assert (encoder.name, encoder.trained_on) == (f"{MODEL}-mine", f"what is not said (weights of mine.{extension})")
    says = timm.data.resolve_model_data_config(model)  # of this name
    view = View(side=160, resized=168, mean=says["mean"], sd=says["std"], interpolation=says["interpolation"])
    assert (says["crop_pct"], encoder.view) == (0.95, view)  # 168 is 160 / 0.95, rounded down
    found = features_of(encoder, PIXELS, 255)
    np.testing.assert_array_equal(found, features_by_timm(model, encoder))
    without = timm.create_model(MODEL, num_classes=0).eval()
    without.load_state_dict(model.state_dict(), strict=False)
    with torch.inference_mode():
        np.testing.assert_array_equal(found, without(encoder.view(PIXELS, 255)).numpy())


def test_a_checkpoint_of_timms_training_is_taken_with_its_averaged_weights(timm, tmp_path):
    model, averaged = model_of(timm, 1), model_of(timm, 2)
    torch.save(
        {"epoch": 3, "state_dict": model.state_dict(), "state_dict_ema": averaged.state_dict()},
        tmp_path / "last.pth.tar",
    )
    encoder = open_encoder(f"timm:{MODEL}={tmp_path / 'last.pth.tar'}")
    np.testing.assert_array_equal(features_of(encoder, PIXELS, 255), features_by_timm(averaged, encoder))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_timm_says_how_images_come_to_its_weights(timm, tmp_path, monkeypatch, channels):
    settings = {"input_size": (channels, 32, 32), "mean": (0.5,) * channels, "std": (0.25,) * channels, "crop_pct": 1.0}
    settings |= {"interpolation": "bicubic"}
    model = model_of(timm, num_classes=4, in_chans=channels, pretrained_cfg_overlay=settings)
    timm.models.save_for_hf(model, tmp_path / "mine", model_args={"in_chans": channels})
    monkeypatch.chdir(tmp_path)
    encoder = open_encoder("timm:local-dir:mine")
    assert encoder.name == "mine"
    assert encoder.view == View(side=32, resized=32, mean=(0.5,) * channels, sd=(0.25,) * channels)
    pixels = PIXELS[..., :channels]
    np.testing.assert_array_equal(features_of(encoder, pixels, 255), features_by_timm(model, encoder, pixels))


class Code:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def write_bad_weights(timm):
    """Files in the current folder, none of which holds all weights of the model and nothing else."""
    weights = model_of(timm).state_dict()
    torch.save(timm.create_model("test_vit").state_dict(), "other.pth")
    torch.save({name: w for name, w in weights.items() if not name.startswith("layer2")}, "part.pth")
    torch.save({"state_dict": weights | {"fc.weight": Code()}}, "code.pth")
    torch.save(weights, "whole.pth")
    Path("cut.pth").write_bytes(Path("whole.pth").read_bytes()[:1000])
    others = {"noise.safetensors": bytes(range(256)), "empty.pth": b"", "pickle.pth": pickle.dumps(Code())}
    for name, content in others.items():
        Path(name).write_bytes(content)


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (f"{MODEL}=other.pth", r'the weights do not fit the model \(Missing key\(s\) in state_dict: "conv1\.0\.'),
        (f"{MODEL}=part.pth", r'Missing key\(s\) in state_dict: "layer2\.0\.conv1\.weight"'),
        (f"{MODEL}=code.pth", r"cannot be read \(something else than weights is in it, .*\); expected weights"),
        (f"{MODEL}=pickle.pth", r"cannot be read \(something else than weights is in it, which is not run\)"),
        (f"{MODEL}=cut.pth", r"cut\.pth cannot be read \(.*\); expected weights alone: a file of safetensors"),
        (f"{MODEL}=noise.safetensors", r"noise\.safetensors cannot be read"),
        (f"{MODEL}=empty.pth", r"empty\.pth cannot be read"),
        (f"{MODEL}=missing.pth", r"no file missing\.pth"),
        ("test_reznet=whole.pth", r"did you mean test_resnet"),
        (f"{MODEL}.none=whole.pth", r"timm has no such model; did you mean test_resnet"),
    ],
)  # fmt: skip
def test_weights_that_are_not_all_of_the_model_are_refused_and_run_no_code(timm, monkeypatch, tmp_path, encoder, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    write_bad_weights(timm)
    with pytest.raises((ConfigError, DataError), match=told) as raised:
        open_encoder(f"timm:{encoder}")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"model_type": "vit"}', '{"architecture": "nothing", "pretrained_cfg": {}}']
)
def test_a_folder_that_is_none_of_timm_is_one_line(timm, tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(
        ConfigError, match=r'"timm:local-dir:.*" cannot be loaded: .*; expected a folder of timm'
    ) as raised:
        open_encoder(f"timm:local-dir:{tmp_path}")
    assert "\n" not in str(raised.value)
