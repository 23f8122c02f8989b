"""What holds of every page that we write."""

import re
import xml.etree.ElementTree as ET


def assert_self_contained(text):
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', text.replace("xlink:href", "href"))
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert text.count("<h1>") == 1
    assert not re.findall(r"#0[0-9]0[0-9a]0[0-9]", text)  # a placeholder colour that was not replaced
