"""A vocabulary of word pieces, made of a corpus alone.

References
----------
Wu et al., "Google's neural machine translation system", 2016 (arXiv 1609.08144): word pieces.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_tokenizer(texts: Sequence[str], *, vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose word pieces come from ``texts``.

    Text is put in small letters without accents, cut at blanks and punctuation, and each word into pieces. Of the
    pieces the most frequent are kept that the training of ``tokenizers`` finds.

    Parameters
    ----------
    texts
        The corpus.
    vocabulary
        Most pieces, special ones included.
    positions
        Most tokens of a text.
    """
    inner = Tokenizer(models.WordPiece(unk_token=UNKNOWN))  # type: ignore[call-arg]  # its stub knows no keywords
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    ends = [(token, inner.token_to_id(token)) for token in (CLS, SEP)]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=positions,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
