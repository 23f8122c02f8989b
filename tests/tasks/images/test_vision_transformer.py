import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.tasks.images.size import ImageSize
from eafl_flower.tasks.images.vision_transformer import VisionTransformer, VisionTransformerTask
from eafl_flower.tasks.training import Training

torch = pytest.importorskip("torch")


def make(**settings):
    settings = {"patch": 2, "width": 12, "depth": 2, "heads": 3, **settings}
    return VisionTransformerTask(num_features=96, num_classes=3, image_size=ImageSize(4, 8, 3), **settings)


@pytest.fixture
def images():
    return generator(1, "images").random((5, 4, 8, 3), dtype=np.float32)


def random_arrays(task):
    """No array is zero or one, as some are at first."""
    return tuple(
        0.3 * generator(2, i).standard_normal(a.shape).astype(np.float32) for i, a in enumerate(task.init(generator(1)))
    )


def test_the_number_of_parameters_is_that_of_its_layers():
    task = VisionTransformerTask(num_features=3072, num_classes=10, image_size=ImageSize(32, 32, 3))
    width, patches, values = 64, 16, 8 * 8 * 3
    block = (
        2 * 2 * width
        + (width + 1) * 3 * width
        + (width + 1) * width
        + (width + 1) * 4 * width
        + (4 * width + 1) * width
    )
    expected = patches * width + (values + 1) * width + 2 * block + 2 * width + (width + 1) * 10
    assert sum(a.size for a in task.init(generator(1, "init"))) == expected


def test_a_block_is_torchs_encoder_layer_with_norms_first(images):
    task = make(depth=1)
    arrays = [torch.tensor(a) for a in random_arrays(task)]
    positions, embedding, bias, *block, weight, shift, head, head_bias = arrays
    layer = torch.nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    ours = (
        "norm1.weight",
        "norm1.bias",
        "norm2.weight",
        "norm2.bias",
        "self_attn.in_proj_weight",
        "self_attn.in_proj_bias",
    )
    ours += ("self_attn.out_proj.weight", "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight")
    layer.load_state_dict(dict(zip((*ours, "linear2.bias"), block, strict=True)))
    patches = [images[:, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].reshape(5, 12) for r in range(2) for c in range(4)]
    with torch.no_grad():
        tokens = torch.tensor(np.stack(patches, axis=1)) @ embedding.T + bias + positions
        pooled = torch.nn.functional.layer_norm(layer(tokens), (12,), weight, shift).mean(1)
        expected = torch.softmax((pooled @ head.T + head_bias).double(), 1).numpy()
    found = task.predict(tuple(a.numpy() for a in arrays), images.reshape(5, -1))
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # float32 sums of a few dozen terms


def test_patches_that_change_places_with_their_positions_change_nothing(images):
    task = make()
    positions, *others = random_arrays(task)
    order = generator(3).permutation(8)
    patches = images.reshape(5, 2, 2, 4, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(5, 8, 2, 2, 3)[:, order]
    moved = patches.reshape(5, 2, 4, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    before = task.predict((positions, *others), images.reshape(5, -1))
    after = task.predict((positions[order], *others), moved.reshape(5, -1))
    elsewhere = task.predict((positions, *others), moved.reshape(5, -1))
    np.testing.assert_allclose(after, before, rtol=1e-4)
    assert np.abs(elsewhere - before).max() > 1e-3


def test_the_part_takes_the_size_from_the_data_or_is_told():
    task = VisionTransformer(patch=4).make(Training(num_features=64, num_classes=10))
    assert (task.image_size, task.patch, task.width, task.depth, task.heads) == ((8, 8, 1), 4, 64, 2, 4)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match=r"heads = 5: expected a divisor of the width, 64"):
        VisionTransformer(heads=5)
    with pytest.raises(ConfigError, match=r"width = 0.*heads = 0|heads = 0.*width = 0"):
        VisionTransformer(width=0, heads=0)
    with pytest.raises(ConfigError, match=r"patch = 5: expected a divisor of the images' rows and columns, 32 and 32"):
        VisionTransformer(patch=5).make(Training(num_features=3072, num_classes=10))
    with pytest.raises(ConfigError, match=r"patch = 0: expected an integer of at least 1"):
        VisionTransformer(patch=0)
