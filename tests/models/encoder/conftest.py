from pathlib import Path

import pytest


@pytest.fixture
def texts():
    """Sixty sentences: what somebody likes (0) and when something is (1)."""
    things, people = ("tea", "rain", "music", "winter", "cars"), ("anna", "the driver")
    liked = [f"{who} likes {what} {how}" for who in people for what in things for how in ("a lot", "now", "not")]
    asked = [f"when is {what} {how} ?" for what in things for how in ("over", "here", "cold", "near", "on", "good")]
    return tuple(liked + asked)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Folder of the encoders in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "eafl-flower" / "encoders"
