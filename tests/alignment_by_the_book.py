"""The federated ADMM as it is written down, with whole matrices and loops: what trainings are held against."""

import numpy as np
from scipy.linalg import solve_sylvester


def by_the_book(scene, state, rounds):
    """The precoders of all users after some rounds of the method as it is written down, with whole matrices."""
    settings, x = scene.access_point.settings, scene.white
    n, rho, power = x.shape[1], settings.rho, settings.power
    blocks = [np.kron(np.eye(settings.channel_uses), user.channel) for user in scene.by_pilots]
    numbers, inverse = range(len(blocks)), np.linalg.inv(x @ x.conj().T)
    f = [scene.access_point.precoder(state, k) for k in numbers]
    z, u = [np.zeros_like(f[0]) for _ in numbers], [np.zeros_like(f[0]) for _ in numbers]

    def within(c):
        return c * min(1.0, np.sqrt(power) / np.linalg.norm(c))

    def minimiser(squares, crosses, target):
        right = (crosses @ x.conj().T + rho * n * target) @ inverse
        return solve_sylvester(squares, rho * n * inverse, right)

    for _ in range(rounds):
        squares, crosses = [], []
        for k, user in enumerate(scene.by_pilots):
            a, s = blocks[k] @ f[k] @ x, user.known.latents
            g = s @ a.conj().T @ np.linalg.inv(a @ a.conj().T + n * user.noise_std**2 * np.eye(len(a)))
            m = g @ blocks[k]
            squares.append(m.conj().T @ m)
            crosses.append(m.conj().T @ s)
        local = [minimiser(squares[k], crosses[k], z[k] - u[k]) for k in numbers]
        if settings.aggregation == "joint":
            local = [minimiser(np.mean(squares, axis=0), np.mean(crosses, axis=0), z[0] - u[0])] * len(local)
        if settings.links == "shared" and settings.aggregation == "average":
            local = [np.mean(local, axis=0)] * len(local)
        if settings.aggregation == "consensus":
            z = [within(np.mean([a + b for a, b in zip(local, u, strict=True)], axis=0))] * len(local)
        else:
            z = [within(a + b) for a, b in zip(local, u, strict=True)]
        u = [b + a - c for a, b, c in zip(local, u, z, strict=True)]
        f = z if settings.aggregation == "consensus" else local
    return f, z
