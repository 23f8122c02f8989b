import pytest
import threadpoolctl

from eafl_flower.core import threads
from eafl_flower.core.threads import keep_to_one_thread, one_thread


def test_numpy_and_torch_use_one_thread_afterwards():
    import torch

    one_thread()
    assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("held", "expected"), [({"blas"}, 1), (set(), 2)])
def test_a_torch_imported_later_is_held_to_the_limit_if_there_is_one(held, expected, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(threads, "_done", held)  # numpy's BLAS was limited before torch was there, or it was not
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        keep_to_one_thread()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
