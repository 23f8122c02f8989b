import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.tasks.images.cnn import CNN, CNNTask
from eafl_flower.tasks.images.size import ImageSize
from eafl_flower.tasks.training import Training

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("size", "classes", "parameters"),
    [((32, 32, 3), 10, 462_410), ((32, 32, 3), 100, 468_260), ((28, 28, 3), 10, 347_722), ((8, 8, 1), 10, 19_466)],
)
def test_it_has_the_published_numbers_of_parameters(size, classes, parameters):
    task = CNNTask(num_features=int(np.prod(size)), num_classes=classes, image_size=ImageSize(*size))
    arrays = task.init(generator(1, "init"))
    assert sum(a.size for a in arrays) == parameters
    assert [a.shape for a in arrays[:2]] == [(32, size[2], 3, 3), (32,)]
    assert [a.shape for a in arrays[3:]] == [(64,), (classes, 64), (classes,)]


def test_the_part_takes_the_size_from_the_data_or_is_told():
    training = Training(num_features=64, num_classes=10, batch_size=8)
    task = CNN(channels=4, hidden=6, optimizer="adadelta").make(training)
    assert (task.image_size, task.channels, task.hidden, task.optimizer, task.batch_size) == (
        (8, 8, 1),
        4,
        6,
        "adadelta",
        8,
    )
    assert CNN(image_size="16x4x1").make(training).image_size == (16, 4, 1)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match=r"channels = 0.*hidden = 0|hidden = 0.*channels = 0"):
        CNN(channels=0, hidden=0)
    with pytest.raises(ConfigError, match=r"image_size = '32x32': expected rows, columns and channels"):
        CNN(image_size="32x32")
    with pytest.raises(ConfigError, match='belongs to optimizer = "adadelta"'):
        CNN(adadelta_constants="pytorch")
    with pytest.raises(ConfigError, match="expected at least 4 rows and columns"):
        CNN(image_size="3x9x1").make(Training(num_features=27, num_classes=2))
    with pytest.raises(ConfigError, match="such images have 3072 values, the data have 12 features"):
        CNN(image_size="32x32x3").make(Training(num_features=12, num_classes=3))
