"""What the small encoder is worth before anything is fine-tuned: a linear probe on three tasks it has no text of.

    python benchmarks/encoder.py [--seed 1]   # after `eafl encoder make`; needs EAFL_DATA_DIR, scikit-learn

Logistic regression on the mean of the tokens' vectors, whose regularisation is chosen on the validation part; its
share of right answers on the test part. The encoder beside one of the same shape and vocabulary with random weights,
and one that has only the word vectors its training starts from; and bags of words, whose regression has a weight for
every word of the task instead of 128.
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from report import row, write_rows
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from transformers import AutoModel, AutoTokenizer

from eafl_flower.app.encoder import APART, CORPUS, corpus_from
from eafl_flower.data.texts.files import load_texts
from eafl_flower.data.texts.sharing import split_texts
from eafl_flower.models.encoder import EncoderSettings, encoder_path
from eafl_flower.models.encoder.pretraining import LabelledTexts, mean_vector, new_encoder, pretrain

LENGTH, AT_ONCE = 64, 128
REGULARISATION = (0.01, 0.1, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the encoder and the splits (default 1)")
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    path = encoder_path(seed)
    tokenizer = AutoTokenizer.from_pretrained(path)
    corpus = corpus_from(CORPUS, apart=APART)
    sets = [LabelledTexts(texts=s.texts, labels=s.labels, classes=len(s.class_names)) for s in corpus.sets]
    encoders = {
        "random": new_encoder(tokenizer, EncoderSettings(), seed),
        "word vectors": pretrain(sets, tokenizer, replace(EncoderSettings(), passes=0), seed=seed)[0],
        "trained": AutoModel.from_pretrained(path),
    }
    rows = []
    for task in APART:
        split = split_texts(load_texts(task), seed=seed)
        parts = (split.train, split.validation, split.test)
        labels = [part.labels for part in parts]
        bag = CountVectorizer(binary=True).fit(split.train.texts)
        words = _probed([bag.transform(part.texts) for part in parts], labels, FunctionTransformer())
        rows.append(row(f"{task}, bag of words", words, "share right"))
        beside: dict[str, Any] = {}
        for name, encoder in encoders.items():
            right = _probed(
                [_features(encoder.eval(), tokenizer, part.texts) for part in parts], labels, StandardScaler()
            )
            rows.append(row(f"{task}, {name}", right, "share right", **beside))
            if name == "random":
                beside = {"peer": "random", "peer_value": right}
    write_rows("encoder", rows)


def _features(encoder: Any, tokenizer: Any, texts: tuple[str, ...]) -> np.ndarray:
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), AT_ONCE):
            some = list(texts[start : start + AT_ONCE])
            batch = tokenizer(some, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
            found.append(mean_vector(encoder(**batch).last_hidden_state, batch["attention_mask"]).numpy())
    return np.concatenate(found)


def _probed(features: list[Any], labels: list[np.ndarray], scaling: Any) -> float:
    train, validation, test = features
    probes = [
        make_pipeline(scaling, LogisticRegression(C=c, max_iter=2000)).fit(train, labels[0]) for c in REGULARISATION
    ]
    best = max(probes, key=lambda probe: probe.score(validation, labels[1]))
    return float(best.score(test, labels[2]))


if __name__ == "__main__":
    main()
