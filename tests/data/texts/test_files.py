import gzip

import numpy as np
import pytest

from eafl_flower.data.texts.files import TEXT_SETS, load_texts, read_texts
from eafl_flower.errors import ConfigError, DataError


def written(tmp_path, content, name="mine.csv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_classes_of_an_own_file_are_its_words_in_order(tmp_path):
    rows = read_texts(written(tmp_path, "what,kind\nfine,yes\nbad,no\n拥堵,yes\n"), text="what", label="kind")
    assert (rows.name, rows.texts, rows.class_names) == ("mine", ("fine", "bad", "拥堵"), ("no", "yes"))
    assert rows.labels.tolist() == [1, 0, 1]


def test_a_file_of_the_data_folder_is_found_by_its_name(tmp_path):
    written(tmp_path, "text,label\nfine,yes\nbad,no\n")
    assert len(read_texts("mine.csv", data_dir=str(tmp_path))) == 2


def test_a_published_set_has_the_names_of_its_classes(tmp_path):
    (tmp_path / "text").mkdir()
    with gzip.open(tmp_path / "text" / "trec.csv.gz", "wt") as file:
        file.write("split,label,text\ntrain,4,Where is it ?\ntrain,0,What is it ?\n")
    rows = load_texts("trec", tmp_path)
    assert [rows.class_names[label] for label in rows.labels] == ["location", "description"]
    assert len(rows.class_names) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "has a header but no rows"),
        ("", "is empty"),
        ("text\nfine\n", "has no column label"),
        ("text,label\nfine,\n", "line 2, column label: an empty cell, expected a class"),
        ("text,label\nfine,yes\ngood,yes\n", "all texts are of one class, 'yes'; expected two classes"),
        ("text,label\n?,yes\n-,no\n", "no text is left .2 texts without a word.; is it the column with the texts"),
        ("text,label\nfine,yes,no\n", "more cells than the header has columns"),
        ("text,text,label\nfine,fine,yes\n", "column text stands twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as raised:
        read_texts(written(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"no file text/sst2.csv.gz .* in .*published at https://github.com/harvardnlp"):
        load_texts("sst2", tmp_path)
    with pytest.raises(DataError, match="no data folder"):
        read_texts("mine.csv")


def test_a_label_that_a_published_set_does_not_have_is_told(tmp_path):
    written(tmp_path, "split,label,text\ntrain,1,fine\ntrain,7,bad\n", "sst2.csv")
    with pytest.raises(DataError, match="line 3, column label: '7' is none of 0, 1"):
        load_texts("sst2", tmp_path)


def test_an_unknown_set_is_told_with_those_we_know():
    with pytest.raises(ConfigError, match="expected one of sst2, subj, trec"):
        load_texts("imdb")


@pytest.mark.parametrize("name", TEXT_SETS)
def test_a_real_set_has_each_text_once(real_texts, name):
    from eafl_flower.data.texts.words import letters_of

    rows = load_texts(name, real_texts)
    assert len({letters_of(text) for text in rows.texts}) == len(rows) > 2000
    assert (np.bincount(rows.labels, minlength=len(rows.class_names)) > 0).all()
