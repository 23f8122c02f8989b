"""A release: its files come out the same each time, and hold what an installation needs and a registry wants."""

import email
import tarfile
import zipfile

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def members(released):
    return zipfile.ZipFile(released[0]).namelist()


@pytest.fixture(scope="module")
def metadata(released, members):
    (file,) = (name for name in members if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(zipfile.ZipFile(released[0]).read(file))


def test_the_wheel_contains_only_the_package(members):
    top = {name.split("/")[0] for name in members}
    (info,) = (name for name in top if name.endswith(".dist-info"))
    assert top == {"eafl_flower", info}


def test_the_wheel_contains_every_module_preset_table_and_template(members, checkout):
    package = checkout / "eafl_flower"
    wanted = {
        path.relative_to(checkout).as_posix()
        for ending in ("*.py", "*.toml", "*.json", "*.txt")
        for path in package.rglob(ending)
    }
    assert wanted <= set(members)
    assert "eafl_flower/py.typed" in members


def test_the_sdist_is_the_package_its_papers_and_what_it_is_built_by(released, checkout):
    with tarfile.open(released[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    papers = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "constraints.txt"}
    assert papers | {"pyproject.toml"} <= set(names)
    assert {name.split("/")[0] for name in names if "/" in name} == {"eafl_flower", "eafl_flower.egg-info"}
    package = checkout / "eafl_flower"
    assert {path.relative_to(checkout).as_posix() for path in package.rglob("*.py")} <= set(names)


def test_nothing_of_a_release_tells_who_made_it_or_when(released):
    with tarfile.open(released[1]) as archive:
        members = archive.getmembers()
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert len({member.mtime for member in members}) == 1
    assert {member.mode & 0o022 for member in members} == {0}
    assert len({info.date_time for info in zipfile.ZipFile(released[0]).infolist()}) == 1


def test_the_metadata_is_what_a_registry_shows(metadata, checkout):
    assert metadata["Name"] == "eafl-flower"
    assert metadata["Summary"] and metadata["Keywords"] and metadata["Author"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = dict(link.split(", ") for link in metadata.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= set(links)
    assert metadata.get_payload(decode=True).decode().strip() == (checkout / "README.md").read_text().strip()


def test_every_classifier_is_one_that_registries_know(metadata):
    trove = pytest.importorskip("trove_classifiers", reason="a release needs it: pip install 'eafl-flower[dev]'")
    assert set(metadata.get_all("Classifier")) <= trove.classifiers
