"""Links between pages lead somewhere, on a forge and on the site."""

import re
from pathlib import Path

import pytest
from page_blocks import CHECKOUT, pages

PAGES = pages()
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", flags=re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)


def _text(page):
    return (CHECKOUT / page).read_text(encoding="utf-8")


def _links(page):
    return [link for link in _LINK.findall(_CODE.sub("", _text(page))) if not re.match(r"[a-z]+:", link)]


def _anchors(page):
    """Anchors of a page's headings that a forge and the site both make: they treat runs of blanks unlike."""
    without_code = re.sub(r"^ *```.*?^ *```$", "", _text(page), flags=re.DOTALL | re.MULTILINE)
    forge, site = [], []
    for heading in _HEADING.findall(without_code):
        words = re.sub(r"[^\w\s-]", "", heading.lower().replace("`", "")).strip()
        forge.append(words.replace(" ", "-"))
        site.append(re.sub(r"[-\s]+", "-", words))
    return set(forge) & set(site)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page):
    wrong = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = ((CHECKOUT / page).parent / path).resolve() if path else CHECKOUT / page
        if not target.exists() or not target.is_relative_to(CHECKOUT.resolve()):
            wrong.append(f"{link}: no such file")
        elif anchor and (target.suffix != ".md" or anchor not in _anchors(target.relative_to(CHECKOUT.resolve()))):
            wrong.append(f"{link}: no heading of that name")
    assert wrong == []


def test_every_page_of_docs_can_be_found_from_the_menu_of_the_site():
    listed = set(re.findall(r": (\S+\.md)$", _text("mkdocs.yml"), flags=re.MULTILINE))
    assert {page for page in PAGES if not page.startswith("examples/apps/")} - listed == set()
    assert {page for page in listed if page != "reference.md" and not Path(CHECKOUT / page).is_file()} == set()
