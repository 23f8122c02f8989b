"""The ClientApp of a run's own bundle, loaded once; another eafl_flower than is installed is refused."""

import hashlib
import sys
from pathlib import Path

import pytest

import eafl_flower
from eafl_flower.errors import ProtocolError

PACKAGE = Path(eafl_flower.__file__).parent
ENDINGS = (".py", ".toml", ".json")
INSTALLED = {
    path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes()
    for path in PACKAGE.rglob("*")
    if path.suffix in ENDINGS
}
APP = "from flwr.clientapp import ClientApp\napp = ClientApp()\nloaded = {number}\n"


def app_of(apps, bundle):
    return apps.app_of("tests/app 1.0.0", bundle, hashlib.sha256(bundle).hexdigest())


def test_what_is_installed_answers_for_a_bundle_that_carries_the_same(apps, bundle):
    from eafl_flower.client_app import app

    same = bundle("eafl_flower.client_app:app", INSTALLED)
    assert app_of(apps, same) is app


def changed():
    name = "eafl_flower/errors.py"
    yield "a changed file", {**INSTALLED, name: INSTALLED[name] + b"\n"}, name
    yield "a file more", {**INSTALLED, "eafl_flower/more.py": b""}, "eafl_flower/more.py"
    yield "a file less", {key: value for key, value in INSTALLED.items() if key != name}, name


@pytest.mark.parametrize(("files", "differs"), [case[1:] for case in changed()], ids=[case[0] for case in changed()])
def test_another_eafl_flower_is_refused_and_named(apps, bundle, files, differs):
    other = bundle("eafl_flower.client_app:app", files)
    with pytest.raises(ProtocolError, match=rf"another eafl_flower than the .* installed here, \[{differs}\] differ"):
        app_of(apps, other)


def test_an_app_of_ones_own_is_imported_once(apps, bundle):
    content = bundle("app_of_a.client:app", {"app_of_a/client.py": APP.format(number=1)})
    first = app_of(apps, content)
    assert app_of(apps, content) is first
    assert sys.modules["app_of_a.client"].app is first


def test_another_bundle_takes_the_place_of_the_one_before(apps, bundle):
    contents = [bundle("app_of_b:app", {"app_of_b.py": APP.format(number=number)}) for number in (1, 2)]
    for number, content in ((1, contents[0]), (2, contents[1]), (1, contents[0])):
        app = app_of(apps, content)
        module = sys.modules["app_of_b"]
        assert (module.app, module.loaded) == (app, number)
    assert sum("eafl-node-" in entry for entry in sys.path) == 1


@pytest.mark.parametrize(
    ("clientapp", "files", "why"),
    [
        ("app_of_c:app", {"app_of_c.py": "import of_nothing"}, "it cannot be loaded .ModuleNotFoundError"),
        ("app_of_c:app", {"app_of_c.py": "app = 1"}, "is a int: expected a ClientApp"),
        ("app_of_c:other", {"app_of_c.py": APP.format(number=0)}, "is a NoneType: expected a ClientApp"),
        ("json:app", {"json.py": APP.format(number=0)}, "its module json has the name of one that is here already"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_refused_with_the_reason(apps, bundle, clientapp, files, why):
    content = bundle(clientapp, files)
    for _ in range(2):
        with pytest.raises(ProtocolError, match=rf"tests/app 1.0.0 does not run on this node: .*{why}"):
            app_of(apps, content)


def test_a_bundle_that_is_no_bundle_is_refused(apps):
    with pytest.raises(ProtocolError, match="BadZipFile"):
        app_of(apps, b"nothing")
