"""Residual networks for images of 32 x 32 pixels, with 20, 32, 44 or 56 layers.

References
----------
He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2. Shortcuts have no
weights: where the size changes they take every second pixel and add channels of zeros (option A).
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from eafl_flower.errors import ConfigError, DataError

CHANNELS = (16, 32, 64)
LAYERS = (20, 32, 44, 56)


class CifarResNet(nn.Module):
    """Images ``(n, 3, 32, 32)`` to features ``(n, 64)``; ``linear`` makes logits of them.

    Parameters
    ----------
    layers
        20, 32, 44 or 56: six for each block in a stage, and two.
    classes
        Of the linear layer.
    """

    def __init__(self, layers: int, classes: int = 10) -> None:
        super().__init__()
        if layers not in LAYERS:
            raise ConfigError(f"{layers} layers: expected one of {', '.join(map(str, LAYERS))}")
        blocks = (layers - 2) // 6
        self.conv1, self.bn1 = nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS[0])
        for stage, channels in enumerate(CHANNELS, start=1):
            before = CHANNELS[max(stage - 2, 0)]
            self.add_module(
                f"layer{stage}",
                nn.Sequential(*(_Block(before if k == 0 else channels, channels) for k in range(blocks))),
            )
        self.linear = nn.Linear(CHANNELS[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features: the mean of the last stage over all places."""
        x = functional.relu(self.bn1(self.conv1(images)))
        for stage in range(1, len(CHANNELS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        stride = 1 if before == channels else 2
        self.conv1 = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.added = channels - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.added:
            zeros = self.added // 2, self.added - self.added // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *zeros))
        return functional.relu(out + x)


def load_resnet(path: Path) -> CifarResNet:
    """Load a network whose file is called after its layers, as ``cifar_resnet20.safetensors``; ready to be used.

    Raises
    ------
    DataError
        If the file is damaged, is called otherwise, or has other weights than such a network.
    """
    number = path.stem.removeprefix("cifar_resnet")
    if number not in map(str, LAYERS):
        raise DataError(f"{path}: expected a file cifar_resnetN.safetensors, N being {', '.join(map(str, LAYERS))}")
    try:
        found = load_file(path)
        network = CifarResNet(int(number), classes=len(found.get("linear.bias", [0])))
        counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
        network.load_state_dict(counters | found)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        msg = f"{path} holds no network of {number} layers, it is damaged or something else: {error}"
        raise DataError(msg) from error
    return network.eval()
