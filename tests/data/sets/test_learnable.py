"""Each recorded data set holds something to learn: pooled rows and scikit-learn, against bounds."""

import warnings

import numpy as np
import pytest

from eafl_flower.data import load_geolife, load_iot_devices, load_ngsim_us101, load_ton_weather, majority_scores

# Loader, and how far above the majority class a network of two layers and boosted trees must come on the
# held out rows of seen clients, and trees on unseen clients (None: no claim).
BOUNDS = {
    "geolife": (load_geolife, {}, 0.30, 0.33, 0.15),
    "ngsim": (load_ngsim_us101, {}, 0.05, 0.04, 0.05),
    "ton-weather": (load_ton_weather, {"clients": 1, "unseen": 0}, 0.15, 0.18, None),
    "iot-devices": (load_iot_devices, {"clients": 1, "unseen": 0}, 0.20, 0.40, None),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name in ("geolife", "iot-devices"))) for name in BOUNDS]
)
def test_pooled_models_beat_the_majority_class(real_data, name):
    pytest.importorskip("sklearn", reason="the pooled models are scikit-learn's")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier

    load, options, network_above, trees_above, unseen_above = BOUNDS[name]
    source = load(data_dir=real_data, **options)
    majority = majority_scores(source)

    def rows(side, clients):
        parts = [source.partition(i) for i in clients]
        return (np.concatenate([getattr(p, f"{column}_{side}") for p in parts]) for column in "xy")

    x, y = rows("train", range(source.num_seen))
    network = MLPClassifier((32, 32), max_iter=80, early_stopping=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the iterations end
        network.fit(x, y)
    trees = HistGradientBoostingClassifier(random_state=0).fit(x, y)
    x, y = rows("test", range(source.num_seen))
    assert network.score(x, y) > majority["seen"] + network_above
    assert trees.score(x, y) > majority["seen"] + trees_above
    if unseen_above is not None:
        x, y = rows("test", range(source.num_seen, source.num_clients))
        assert trees.score(x, y) > majority["unseen"] + unseen_above
