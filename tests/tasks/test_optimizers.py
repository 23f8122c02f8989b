"""Every optimiser against torch.optim, and AdaDelta against the recursion as its paper writes it."""

import subprocess
import sys

import numpy as np
import pytest
from optim_by_torch import optimizer_by_torch

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.fractal_net import FractalNet
from eafl_flower.tasks.optimizers import ADADELTA_CONSTANTS, OPTIMIZERS, AdaDelta, WithOptimizer
from eafl_flower.tasks.softmax import Softmax, SoftmaxTask
from eafl_flower.tasks.tabular import Tabular, TabularTask

SIZE, STEPS = 12, 30


def gradients(rng):
    """Gradients over twelve decades, some of them zero."""
    return [rng.standard_normal(SIZE) * np.logspace(-10, 2, SIZE) * (rng.random(SIZE) < 0.9) for _ in range(STEPS)]


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        (WithOptimizer(optimizer="sgd"), 0.1),
        (WithOptimizer(optimizer="adamw"), 0.01),
        (WithOptimizer(optimizer="adadelta"), 1.0),
        (WithOptimizer(optimizer="adadelta", adadelta_constants="pytorch"), 1.0),
        (WithOptimizer(optimizer="adadelta"), 0.1),
        (WithOptimizer(optimizer="adam"), 0.01),
        (WithOptimizer(optimizer="rmsprop"), 0.01),
    ],
)
def test_every_step_is_that_of_torch_optim(settings, rate, decay, kind):
    torch = pytest.importorskip("torch")
    rng = generator(1, "optimizers")
    start = rng.standard_normal(SIZE)
    ours = torch.tensor(start) if kind == "torch" else start.copy()
    expected = torch.tensor(start, requires_grad=True)
    step, reference = settings.new_optimizer(rate, decay).step, optimizer_by_torch(settings, [expected], rate, decay)
    for gradient in gradients(rng):
        step(ours, torch.tensor(gradient) if kind == "torch" else gradient.copy())
        expected.grad = torch.tensor(gradient)
        reference.step()
        # a few roundings of float64 a step, each of the size of a parameter or of a step
        bound = STEPS * 16 * np.finfo(np.float64).eps
        np.testing.assert_allclose(np.asarray(ours), expected.detach().numpy(), rtol=bound, atol=bound)


@pytest.mark.parametrize("constants", ADADELTA_CONSTANTS)
def test_adadelta_is_the_recursion_of_its_paper(constants):
    rho, epsilon = ADADELTA_CONSTANTS[constants]
    rng = generator(2, "zeiler")
    x = rng.standard_normal(SIZE)
    ours, optimizer = x.copy(), AdaDelta(1.0, 0.0, rho, epsilon)
    mean_square_g = mean_square_u = np.zeros(SIZE)  # E[g^2] and E[dx^2] of algorithm 1
    for g in gradients(rng):
        mean_square_g = rho * mean_square_g + (1 - rho) * g**2
        u = -np.sqrt(mean_square_u + epsilon) / np.sqrt(mean_square_g + epsilon) * g
        mean_square_u = rho * mean_square_u + (1 - rho) * u**2
        x = x + u
        optimizer.step(ours, g.copy())
        bound = STEPS * 16 * np.finfo(np.float64).eps
        np.testing.assert_allclose(ours, x, rtol=bound, atol=bound)
    # sums of squares lose no more than a rounding of each term
    np.testing.assert_allclose(optimizer.vectors[0], mean_square_g, rtol=bound)
    np.testing.assert_allclose(optimizer.vectors[1], mean_square_u, rtol=bound)


def test_the_first_step_of_adadelta_does_not_depend_on_the_size_of_the_gradient():
    """Without a change to remember it is -g sqrt(eps / (eps + (1 - rho) g^2)), which tends to sqrt(eps / (1 - rho))."""
    for size in (1.0, 1e3, 1e6):
        x = np.zeros(1)
        AdaDelta(1.0, 0.0, 0.95, 1e-7).step(x, np.array([size]))
        assert x[0] == pytest.approx(-np.sqrt(1e-7 / 0.05), rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32(name):
    x = np.ones(4, np.float32)
    optimizer = OPTIMIZERS[name](0.01, 0.1)
    for _ in range(3):
        optimizer.step(x, np.ones(4, np.float32))
    assert x.dtype == np.float32
    assert all(vector.dtype == np.float32 for vector in optimizer.vectors)
    assert len(optimizer.vectors) == len(optimizer.remembers)
    assert (optimizer.name, optimizer.num_steps) == (name, 3)


PARTS = {"tabular": Tabular, "fractal": FractalNet, "softmax": Softmax}
TASKS = {"tabular": TabularTask, "fractal": FractalTask, "softmax": SoftmaxTask}


@pytest.mark.parametrize("name", PARTS)
def test_constants_of_another_optimizer_are_refused(name):
    message = r"adadelta_constants = 'pytorch': belongs to optimizer = \"adadelta\" \(usual learning rate: 1\)"
    for make in (PARTS[name], lambda **s: TASKS[name](num_features=2, num_classes=2, **s)):
        with pytest.raises(ConfigError, match=message):
            make(optimizer="adam", adadelta_constants="pytorch")
        with pytest.raises(ConfigError, match='optimizer_state = \'shared\': expected "reset" or "kept"'):
            make(optimizer_state="shared")
        assert make(optimizer="adadelta", adadelta_constants="pytorch").constants_problem == ""


def test_names_and_constants_are_there_without_torch():
    code = "import sys; sys.modules['torch'] = None; import eafl_flower.tasks.optimizers as o; print(*o.OPTIMIZERS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sgd", "adamw", "adadelta", "adam", "rmsprop"]
