import json

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from eafl_flower.models.extras import require  # noqa: E402
from eafl_flower.models.latents.encoders import open_encoder  # noqa: E402
from eafl_flower.models.latents.extraction import features_of  # noqa: E402
from eafl_flower.models.latents.view import View  # noqa: E402

PIXELS = generator(1, "encoders").integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A vision transformer that its owner saved as a classifier, with the settings of its preprocessor."""
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    require("small-vit", "transformers", extra="lora")  # beside a torchvision of another build, too
    path = tmp_path_factory.mktemp("encoders") / "small-vit"
    config = transformers.ViTConfig(
        image_size=16, patch_size=8, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    torch.manual_seed(1)
    transformers.ViTForImageClassification(config).save_pretrained(path)
    return path


def test_an_encoder_of_transformers_gives_what_it_gives_its_owner(vit, capfd):
    from transformers import AutoModel

    encoder = open_encoder(str(vit))
    assert capfd.readouterr() == ("", "")  # no bars, no tables
    assert (encoder.name, encoder.view) == ("small-vit", View(side=16, mean=(0.5,) * 3, sd=(0.5,) * 3))
    model = AutoModel.from_pretrained(vit).eval()
    for features, index in (("auto", 0), ("cls", 0)):
        found = features_of(open_encoder(str(vit), features=features), PIXELS, 255)
        with torch.inference_mode():
            hidden = model(pixel_values=encoder.view(PIXELS, 255)).last_hidden_state
        np.testing.assert_array_equal(found, hidden[:, index].numpy())
    np.testing.assert_array_equal(
        features_of(open_encoder(str(vit), features="mean"), PIXELS, 255), hidden.mean(1).numpy()
    )


@pytest.mark.parametrize(
    ("settings", "view"),
    [
        ({"size": {"height": 16, "width": 16}, "resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]},
         View(side=16, resized=16, mean=(0.1, 0.2, 0.3), sd=(1, 2, 3), interpolation="bicubic")),
        ({"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16}},
         View(side=16, resized=20, mean=(0.5,) * 3, sd=(0.5,) * 3, interpolation="bilinear")),
        ({"size": 16, "resample": 0, "do_normalize": False},
         View(side=16, resized=16, mean=(0.0,) * 3, sd=(1.0,) * 3, interpolation="nearest")),
    ],
)  # fmt: skip
def test_images_come_as_the_preprocessor_is_set(vit, settings, view):
    path = vit / "preprocessor_config.json"
    path.write_text(json.dumps(settings))
    try:
        assert open_encoder(str(vit)).view == view
        assert open_encoder(str(vit), side=8).view.side == 8
    finally:
        path.unlink()


def test_features_of_weights_that_are_not_there_are_refused(vit):
    with pytest.raises(ConfigError, match=r"has no weights pooler\.dense\.bias, so its features would be random"):
        open_encoder(str(vit), features="pooler")


def test_what_is_no_encoder_of_images_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    require("bert", "transformers", extra="lora")
    sizes = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    transformers.BertModel(transformers.BertConfig(**sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="is no encoder of images"):
        open_encoder(str(tmp_path / "bert"))
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*; expected resnet20, .*, mobilenet, timm:NAME, or a"):
        open_encoder(str(tmp_path))


def test_the_stored_mobilenet_gives_256_features_of_images_that_it_sees_at_96_pixels(real_data):
    pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    if not (real_data / "encoders").is_dir():
        pytest.skip("a trained MobileNet: put encoders/mobilenet_v1_0.25_imagenet into EAFL_DATA_DIR")
    encoder = open_encoder("mobilenet")
    assert (encoder.view.side, encoder.trained_on) == (96, "ImageNet")
    assert features_of(encoder, PIXELS, 255).shape == (3, 256)
