import numpy as np
import pytest

from eafl_flower.errors import ConfigError, DataError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from safetensors.torch import save_file  # noqa: E402

from eafl_flower.data.latents.images import load_image_set  # noqa: E402
from eafl_flower.models.latents.encoders import open_encoder  # noqa: E402
from eafl_flower.models.latents.extraction import features_of  # noqa: E402
from eafl_flower.models.latents.resnet import CifarResNet, load_resnet  # noqa: E402

RIGHT = {20: 487, 32: 507, 44: 501, 56: 502}  # of 600 test images: 81.2, 84.5, 83.5 and 83.7 %


@pytest.fixture
def weights(real_data):
    if not (real_data / "encoders" / "cifar_resnet20.safetensors").is_file():
        pytest.skip("trained ResNets: put encoders/cifar_resnet20.safetensors and others into EAFL_DATA_DIR")


def right_of(layers):
    images, encoder = load_image_set("cifar10"), open_encoder(f"resnet{layers}")
    features = torch.from_numpy(features_of(encoder, images.pixels[images.tests], images.largest))
    return int(np.sum(encoder.features.linear(features).argmax(1).numpy() == images.labels[images.tests]))


def test_the_smallest_trained_network_is_as_right_as_its_source_says(weights):
    assert right_of(20) == RIGHT[20]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [32, 44, 56])
def test_trained_networks_are_as_right_as_their_source_says(weights, layers):
    assert right_of(layers) == RIGHT[layers]


@pytest.mark.parametrize("layers", [20, 56])
def test_a_network_has_as_many_layers_as_its_name_says(layers):
    network = CifarResNet(layers)
    layered = [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layered) == layers
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 64)


def test_a_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros():
    block = CifarResNet(20).layer2[0].eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 16, 6, 6)
    out = block(x)
    torch.testing.assert_close(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()


def test_what_is_no_such_network_is_refused(tmp_path):
    path = tmp_path / "cifar_resnet20.safetensors"
    save_file(CifarResNet(20).state_dict(), path)
    load_resnet(path)
    path.rename(tmp_path / "cifar_resnet32.safetensors")
    with pytest.raises(DataError, match="holds no network of 32 layers"):
        load_resnet(tmp_path / "cifar_resnet32.safetensors")
    (tmp_path / "cifar_resnet32.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(DataError, match="holds no network of 32 layers"):
        load_resnet(tmp_path / "cifar_resnet32.safetensors")
    with pytest.raises(DataError, match=r"expected a file cifar_resnetN\.safetensors, N being 20, 32, 44, 56"):
        load_resnet(tmp_path / "resnet20.safetensors")
    with pytest.raises(ConfigError, match="21 layers: expected one of 20"):
        CifarResNet(21)
    with pytest.raises(DataError, match="a ResNet of 20 layers trained on CIFAR-10"):
        open_encoder("resnet20", data_dir=tmp_path)
