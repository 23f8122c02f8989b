"""The fractal network beside the same one in torch, with its gradients by autograd."""

import numpy as np
import pytest
from optim_by_torch import optimizer_by_torch

from eafl_flower.core.rng import generator
from eafl_flower.heads.size import HeadSize
from eafl_flower.tasks.fractal import FractalTask

torch = pytest.importorskip("torch")
SMALL = (HeadSize(1, 8),)


def make(**settings):
    return FractalTask(
        **{
            "num_features": 5,
            "num_classes": 3,
            "head": "private",
            "head_sizes": SMALL,
            "learning_rate": 0.02,
            **settings,
        }
    )


def started(task, rows, client=0, seed=1):
    model = task.init(generator(seed, "init"))
    return task.personalise(model, rows, generator(seed, "personalise", client), client=client)


def equal(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


class Block(torch.nn.Module):
    def __init__(self, inputs, width, depth):
        super().__init__()
        if depth:
            self.left, self.right = Block(inputs, width, depth - 1), Block(inputs, width, depth - 1)
            self.merge = torch.nn.Linear(2 * width, width, bias=False)
        else:
            self.linear, self.norm = torch.nn.Linear(inputs, width, bias=False), torch.nn.LayerNorm(width)
        self.depth = depth

    def forward(self, x):
        if not self.depth:
            return self.norm(torch.relu(self.linear(x)))
        return torch.relu(self.merge(torch.cat([self.left(x), self.right(x)], dim=1)))


class ByTorch:
    """The same training by autograd and torch.optim."""

    def __init__(self, task, arrays, size):
        self.task = task
        self.backbone = Block(task.num_features, 32, 2)
        classifier = torch.nn.Linear(size.width, task.num_classes)
        self.head = torch.nn.Sequential(Block(32, size.width, size.depth), classifier)
        self.parameters = [*self.backbone.parameters(), *self.head.parameters()]
        with torch.no_grad():
            for parameter, array in zip(self.parameters, arrays, strict=True):
                parameter.copy_(torch.tensor(array))

    def optimizer(self, parameters):
        return optimizer_by_torch(self.task, parameters, self.task.learning_rate, self.task.weight_decay)

    def run_pass(self, rows, rng, optimizer):
        x, y = torch.tensor(rows.x_train), torch.tensor(rows.y_train)
        total = 0.0
        for batch in torch.tensor(rng.permutation(len(y))).split(self.task.batch_size):
            loss = torch.nn.functional.cross_entropy(self.head(self.backbone(x[batch])), y[batch])
            for parameter in self.parameters:
                parameter.grad = None
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        return total / len(y)

    def arrays(self):
        return [p.detach().numpy() for p in self.parameters]


OPTIMIZERS = [
    {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.1},
    {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.3},
    {"optimizer": "adadelta", "learning_rate": 1.0},
    {"optimizer": "adam", "learning_rate": 0.002},
    {"optimizer": "rmsprop", "learning_rate": 0.002},
]


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        # a few steps in float32: AdamW divides by the root of tiny gradients, which magnifies their rounding
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
