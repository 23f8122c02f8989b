"""Version, licence and links are the same wherever they stand."""

import re
import tomllib

import pytest
import yaml

import eafl_flower
from eafl_flower.results.summary import versions
from eafl_flower.wire.agreement import VERSION


@pytest.fixture(scope="module")
def project(checkout):
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation(checkout):
    return yaml.safe_load((checkout / "CITATION.cff").read_text())


def test_there_is_one_version(checkout, project, citation):
    headings = re.findall(r"^## (\d\S*)$", (checkout / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert {project["version"], eafl_flower.__version__, VERSION, versions()["eafl-flower"]} == {headings[0]}
    assert str(citation["version"]) == headings[0]


def test_the_version_is_where_flower_looks_for_that_of_a_bundle(project):
    assert "dynamic" not in project
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])  # Flower writes the dots as hyphens in the file's name


def test_the_citation_has_what_its_format_demands(citation):
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[field] for field in ("message", "title", "authors"))
    assert citation["type"] == "software"
    # the format knows these and others; a mistyped one would make the whole file invalid
    known = {"abstract", "authors", "cff-version", "keywords", "license", "message", "repository-code", "title", "type"}
    assert set(citation) <= known | {"version", "date-released", "doi", "url"}
    assert all(author.keys() <= {"name", "given-names", "family-names", "orcid"} for author in citation["authors"])


def test_the_citation_is_of_the_same_project(project, citation):
    assert citation["repository-code"] == project["urls"]["Homepage"]
    assert citation["title"] == project["name"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert citation["license"] == "Apache-2.0"
    assert "License :: OSI Approved :: Apache Software License" in project["classifiers"]


def test_all_links_lead_into_one_repository(checkout, project):
    home = project["urls"]["Homepage"]
    assert all(url.startswith(home) for url in project["urls"].values())
    papers = ["SECURITY.md", "CITATION.cff", *(f"eafl_flower/scaffold/{part}" for part in ("both/README.md.txt",))]
    for paper in papers:
        found = re.findall(r"https://github\.com/[\w-]+/[\w-]+", (checkout / paper).read_text())
        assert set(found) == {home}


def test_files_that_links_lead_to_are_there(checkout, project):
    texts = [*project["urls"].values(), (checkout / "eafl_flower/scaffold/both/README.md.txt").read_text()]
    named = [file for text in texts for file in re.findall(r"/(?:blob|tree)/main/([\w./-]+)", text)]
    assert len(named) >= 3
    assert [file for file in named if not (checkout / file).exists()] == []
