import numpy as np

from eafl_flower.data.sets import car_following as cf


def test_rows_have_three_seconds_on_both_sides():
    frames = cf.row_frames(100)
    assert frames.tolist() == [30, 40, 50, 60]
    assert len(cf.row_frames(60)) == 0
    assert cf.row_frames(61).tolist() == [30]


def test_a_steady_ramp_gives_its_slope_times_the_lag_and_the_class_of_its_change():
    time_s = np.arange(100) / cf.FRAMES_PER_S
    speeds = np.stack([20 - 0.5 * time_s, 20 + 0 * time_s, 5 + 0.5 * time_s])  # (3, frames)
    frames = cf.row_frames(100)
    # The mean of 2 to 3 s ahead is 2.5 s ahead on a ramp: 1.25 m/s away.
    assert cf.labels(speeds, frames).tolist() == [[0] * 4, [1] * 4, [2] * 4]
    x = cf.features(speeds, 30 + 2 * time_s * np.ones((3, 1)), frames)
    assert x.shape == (3, 4, 12) == (3, 4, len(cf.FEATURE_NAMES))
    lags_s = np.array(cf.LAGS_FRAMES) / cf.FRAMES_PER_S
    np.testing.assert_allclose(x[0, :, 1:6], np.tile(-0.5 * lags_s, (4, 1)), atol=1e-12)
    np.testing.assert_allclose(x[0, :, 7:], np.tile(2 * lags_s, (4, 1)), atol=1e-12)
    np.testing.assert_allclose(x[0, :, 0], speeds[0, frames])
    np.testing.assert_allclose(x[0, :, 6], 30 + 2 * frames / cf.FRAMES_PER_S)


def test_features_look_back_three_seconds_and_never_ahead():
    rng = np.random.default_rng(0)
    speed, headway = rng.random((2, 100))
    frames = np.array([45])
    before = cf.features(speed, headway, frames)
    label = cf.labels(speed, frames)
    outside = np.ones(100, dtype=bool)
    outside[15:46] = False
    speed[outside] = headway[outside] = np.nan
    np.testing.assert_array_equal(cf.features(speed, headway, frames), before)
    assert label.shape == (1,)
