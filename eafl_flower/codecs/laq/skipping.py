r"""Whether a client sends anything: the lazy rules of LAQ and AQUILA, as pure functions.

A client whose quantised vector moves by less than its error and the movement of the model say needs not send it;
the server then goes on with the last one. Runs do not ask these rules: everybody sends, as the authors of EMQ run both.
"""

from collections.abc import Sequence


def laq_uploads(
    moved_squared: float,
    model_steps_squared: Sequence[float],
    error_squared: float,
    last_error_squared: float,
    *,
    learning_rate: float,
    num_clients: int,
    since_upload: int,
    weight: float = 0.8,
    patience: int = 100,
) -> bool:
    r"""Return whether a client uploads by LAQ's rule.

    .. math:: \lVert q - q' \rVert^2 \ge \frac{1}{\alpha^2 M^2} \sum_{i=1}^{D} \xi_i
              \lVert \theta^{k+1-i} - \theta^{k-i} \rVert^2 + 3 \bigl(\lVert \epsilon \rVert^2
              + \lVert \epsilon' \rVert^2\bigr)

    or it has not done so for ``patience`` rounds.

    Parameters
    ----------
    moved_squared
        :math:`\lVert q - q' \rVert^2`, of the vector it would send and the last it sent.
    model_steps_squared
        :math:`\lVert \theta^{k+1-i} - \theta^{k-i} \rVert^2` of the last :math:`D` rounds, in any order, as all
        weigh the same, :math:`\xi_i` = ``weight`` / D.
    error_squared, last_error_squared
        :math:`\lVert \epsilon \rVert^2` of the quantiser now and at the last upload.
    learning_rate
        :math:`\alpha`.
    num_clients
        :math:`M`.
    since_upload
        Rounds since the last upload.
    weight
        Sum of all :math:`\xi_i`.
    patience
        :math:`C`.
    """
    drift = weight * sum(model_steps_squared) / max(1, len(model_steps_squared))
    threshold = drift / (learning_rate * num_clients) ** 2 + 3 * (error_squared + last_error_squared)
    return since_upload >= patience or moved_squared >= threshold


def aquila_skips(
    moved_squared: float, error_squared: float, model_step_squared: float, *, learning_rate: float, beta: float
) -> bool:
    r"""Return whether a client skips its upload by AQUILA's rule.

    .. math:: \lVert q - q' \rVert^2 + \lVert \epsilon \rVert^2 \le \frac{\beta}{\alpha^2}
              \lVert \theta^k - \theta^{k-1} \rVert^2

    Parameters
    ----------
    moved_squared
        :math:`\lVert q - q' \rVert^2`, of the vector it would send and the last it sent.
    error_squared
        :math:`\lVert \epsilon \rVert^2`, of the quantiser now.
    model_step_squared
        :math:`\lVert \theta^k - \theta^{k-1} \rVert^2`.
    learning_rate
        :math:`\alpha`.
    beta
        How lazy the client is; 0: it skips only if nothing would move.
    """
    return moved_squared + error_squared <= beta / learning_rate**2 * model_step_squared
