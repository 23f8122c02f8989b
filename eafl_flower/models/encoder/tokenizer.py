"""A vocabulary of word pieces, made of a corpus alone.

References
----------
Wu et al., "Google's neural machine translation system", 2016 (arXiv 1609.08144): word pieces.
"""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_INSIDE = "##"  # before a piece that begins no word


def make_tokenizer(texts: Sequence[str], *, vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose word pieces come from ``texts``.

    Text is put in small letters without accents, cut at blanks and punctuation, and each word into pieces. Of the
    pieces the most frequent are kept that the training of ``tokenizers`` finds, and each letter.

    Parameters
    ----------
    texts
        The corpus.
    vocabulary
        Most pieces, special ones included, unless there are more letters.
    positions
        Most tokens of a text.
    """
    inner = _with_model(models.WordPiece(unk_token=UNKNOWN))
    inside = sorted({letter for word in _words(inner, texts) for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        # Letters inside a word would get their numbers in random order, and of pieces that are equally frequent those
        # of smaller numbers come first: so they are numbered here.
        special_tokens=[*SPECIAL, *(f"{_INSIDE}{letter}" for letter in inside)],
        continuing_subword_prefix=_INSIDE,
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner = _with_model(models.WordPiece(inner.get_vocab(with_added_tokens=True), unk_token=UNKNOWN))
    ends = [(token, inner.token_to_id(token)) for token in (CLS, SEP)]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=ends
    )
    fast: Any = PreTrainedTokenizerFast  # whose constructor has no types
    return fast(  # type: ignore[no-any-return]
        tokenizer_object=inner,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=positions,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _with_model(model: models.WordPiece) -> Tokenizer:
    inner = Tokenizer(model)
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    return inner


def _words(inner: Tokenizer, texts: Sequence[str]) -> set[str]:
    normalise, cut = inner.normalizer.normalize_str, inner.pre_tokenizer.pre_tokenize_str
    return {word for text in texts for word, _ in cut(normalise(text))}
