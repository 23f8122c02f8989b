"""Apps as Flower's templates write them, before and after a diff has put our parts in, and new ones, by `flwr run`."""

import pytest
from federation import BIN, CHECKOUT
from local_flower import LocalFlower
from template_apps import DIFFS, NEEDS, app_of, copy_app, last_accuracy

from eafl_flower.scaffold.app import Framework, write_app

pytestmark = pytest.mark.slow

# One worker of Ray: what takes longest is to import torch and transformers in each.
ONE_WORKER = "client-resources-num-cpus=2 init-args-num-cpus=2"

OFTEN = ("pytorch-digits.compressed",)
MORE = sorted({*NEEDS, *DIFFS} - {*OFTEN})


@pytest.fixture(scope="module")
def flower(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    (folder / "site").mkdir()
    (folder / "site" / "eafl_flower").symlink_to(CHECKOUT / "eafl_flower")  # the package, as if it were installed
    with LocalFlower(folder, scripts=BIN, site=folder / "site") as flower:
        yield flower


@pytest.mark.parametrize("name", [*OFTEN, *(pytest.param(name, marks=pytest.mark.long) for name in MORE)])
def test_flwr_run_ends_with_a_model_that_has_learnt(flower, name):
    for package in NEEDS[app_of(name)]:
        pytest.importorskip(package, reason=f"the app needs {package}: pip install 'eafl-flower[lora,dev]'")
    app = copy_app(name, flower.folder)
    status, log = flower.run(app, num_nodes=2, run_config="num-server-rounds=6", resources=ONE_WORKER)
    assert status == "finished:completed", log
    assert last_accuracy(log) > 0.6, log


@pytest.mark.parametrize(
    "framework", [pytest.param(one, marks=[] if one is Framework.TORCH else pytest.mark.long) for one in Framework]
)
def test_flwr_run_of_a_new_app_ends_with_a_model_that_has_learnt(flower, framework):
    for module in framework.needs:
        pytest.importorskip(module, reason=f"the app needs {framework.needs[module]}")
    app = flower.folder / f"new-{framework}"
    write_app(app, framework=framework, publisher="somebody")
    status, log = flower.run(app, num_nodes=2, run_config="num-server-rounds=6", resources=ONE_WORKER)
    assert status == "finished:completed", log
    assert last_accuracy(log) > 0.6, log
