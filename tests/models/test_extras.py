import sys
from importlib.util import find_spec

import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.models.extras import import_torchvision, require

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")


class Declared:
    """Stands in for a library of operators of torch: what it declares would stay for all other tests."""

    names = ()

    def __init__(self, namespace, kind):
        assert (namespace, kind) == ("torchvision", "FRAGMENT")

    def define(self, schema):
        Declared.names += (schema.partition("(")[0],)


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A function that writes a package torchvision, which is found before any other."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.library, "Library", Declared)
    monkeypatch.setattr(torch.ops, "torchvision", object(), raising=False)
    monkeypatch.setattr(Declared, "names", ())

    def write(text):
        (tmp_path / "torchvision.py").write_text(text)

    yield write
    sys.modules.pop("torchvision", None)


ABSENT = 'raise RuntimeError("operator torchvision::nms does not exist")\n'


def test_a_torchvision_of_another_build_is_imported_without_its_operators(torchvision):
    torchvision(f"import torch\nif 'nms' not in torch.library.Library.names:\n    {ABSENT}")
    require("a test", "json", extra="lora")
    assert "torchvision" not in sys.modules  # nothing has asked for it
    import_torchvision("a test")
    assert "torchvision" in sys.modules
    assert Declared.names == ("nms", "qnms")


def test_a_torchvision_that_imports_is_left_as_it_is(torchvision):
    torchvision("")
    import_torchvision("a test")
    assert Declared.names == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ABSENT, r"\(operator torchvision::nms does not exist\): install torch and torchvision of one build"),
        ('raise RuntimeError("another one.")', r"a test: torchvision cannot be imported beside torch \(another one\)"),
        ("from torch import nothing_of_this_name", "cannot import name"),
    ],
)
def test_a_torchvision_that_cannot_be_imported_is_named(torchvision, text, told):
    torchvision(text)
    with pytest.raises(ConfigError, match=told):
        import_torchvision("a test")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # of PEFT's
def test_transformers_and_peft_have_their_models_beside_the_torchvision_that_is_installed():
    for module, extra in ("torchvision", "timm"), ("transformers", "lora"), ("peft", "lora"):
        if not find_spec(module):
            pytest.skip(f"needs {module}: pip install 'eafl-flower[{extra}]'")
    require("a test", "transformers", "peft", extra="lora")
    from peft import LoraConfig, get_peft_model
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    adapted = get_peft_model(ViTModel(config), LoraConfig(r=1, target_modules=["q_proj"]))
    assert sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad) == 2 * 8
