"""lora-digits: A Flower / PEFT app."""
