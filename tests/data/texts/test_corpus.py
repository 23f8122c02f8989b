import numpy as np
import pytest

from eafl_flower.data.texts.corpus import RUN, corpus_of
from eafl_flower.data.texts.files import load_texts
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.words import words_of
from eafl_flower.errors import ConfigError

SENTENCE = "one two three four five six seven eight"


def rows(name, *texts):
    return TextRows(name=name, texts=texts, labels=np.arange(len(texts)) % 2, class_names=("a", "b"))


def test_the_same_text_is_taken_out_however_it_is_written():
    corpus = corpus_of([rows("base", "It doesn't work!", "fine")], apart=[rows("task", "it does n't work .")])
    assert corpus.texts == ("fine",)
    assert (corpus.same, corpus.like) == ({"base": 1}, {"base": 0})


def test_a_text_that_holds_a_sentence_kept_apart_is_taken_out():
    base = rows("base", f"before {SENTENCE.upper()}, after", "one two three", "fine")
    corpus = corpus_of([base], apart=[rows("task", SENTENCE)])
    assert corpus.texts == ("one two three", "fine")
    assert corpus.like == {"base": 1}


def test_labels_stay_with_the_texts_that_stay():
    corpus = corpus_of([rows("base", "a", "b", "c", "d")], apart=[rows("task", "b")])
    assert corpus.sets[0].labels.tolist() == [0, 0, 1]


def test_the_digest_tells_texts_classes_and_sets_apart():
    corpora = [
        corpus_of([rows("base", "a", "b")], apart=[]),
        corpus_of([rows("base", "b", "a")], apart=[]),
        corpus_of([rows("other", "a", "b")], apart=[]),
    ]
    assert len({corpus.sha256 for corpus in corpora}) == 3
    assert corpora[0].sha256 == corpus_of([rows("base", "a", "b", "c")], apart=[rows("task", "c")]).sha256


def test_a_set_on_both_sides_is_refused():
    with pytest.raises(ConfigError, match="base: in the corpus and kept apart from it"):
        corpus_of([rows("base", "a")], apart=[rows("base", "b")])


def test_a_set_of_which_nothing_is_left_is_refused():
    with pytest.raises(ConfigError, match="base: every text is also in a set kept apart"):
        corpus_of([rows("base", "a")], apart=[rows("task", "A")])


@pytest.mark.slow
def test_no_real_text_of_a_federated_task_is_in_the_corpus(real_texts):
    base = [load_texts(name, real_texts) for name in ("subj", "customer_reviews", "snips_intents", "atis_intents")]
    apart = [load_texts(name, real_texts) for name in ("trec", "sst2", "ag_news")]
    corpus = corpus_of(base, apart=apart)

    # a comparison of its own: sequences of words, and every run of them
    def runs(words):
        return {words[start : start + RUN] for start in range(len(words) - RUN + 1)}

    tasks = [words_of(text) for rows in apart for text in rows.texts]
    kept = [words_of(text) for text in corpus.texts]
    assert set(kept).isdisjoint(tasks)
    assert set().union(*map(runs, kept)).isdisjoint(set().union(*map(runs, tasks)))
    # which would not be so by itself: many reviews of SST-2 are among those of SUBJ
    assert len(set(tasks) & {words_of(text) for text in base[0].texts}) > 900
    assert sum(map(len, base)) == len(kept) + sum(corpus.same.values()) + sum(corpus.like.values())
