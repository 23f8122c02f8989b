"""Fine-tuning of adapters on texts, images or rows of one's own."""

from eafl_flower.tasks.finetune.learner import FineTune
from eafl_flower.tasks.finetune.rows import TuningRows, image_rows, rows_of, text_rows

__all__ = ["FineTune", "TuningRows", "image_rows", "rows_of", "text_rows"]
