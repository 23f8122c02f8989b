"""The optimisers of ``torch.optim`` by our names, with the constants of ours written out."""

import pytest

CONSTANTS = {"keras": {"rho": 0.95, "eps": 1e-7}, "pytorch": {"rho": 0.9, "eps": 1e-6}}


def optimizer_by_torch(settings, parameters, learning_rate, weight_decay):
    """Return torch's optimiser for the settings of a task, over these parameters."""
    optim = pytest.importorskip("torch").optim
    kind, constants = {
        "sgd": (optim.SGD, {}),
        "adamw": (optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
        "adadelta": (optim.Adadelta, CONSTANTS[settings.adadelta_constants]),
        "adam": (optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
        "rmsprop": (optim.RMSprop, {"alpha": 0.99, "eps": 1e-8}),
    }[settings.optimizer]
    return kind(parameters, lr=learning_rate, weight_decay=weight_decay, **constants)
