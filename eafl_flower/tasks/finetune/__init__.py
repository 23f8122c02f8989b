"""Fine-tuning of a pretrained classifier with adapters."""
