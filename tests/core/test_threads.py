import threadpoolctl

from eafl_flower.core.threads import one_thread


def test_numpy_and_torch_use_one_thread_afterwards():
    import torch

    one_thread()
    assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    assert torch.get_num_threads() == 1
