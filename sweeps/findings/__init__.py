"""What a sweep found, in words that a person would use: for the terminal, the page and the card of an export alike."""

__all__ = [
    "metric_words",
    "one_sentence",
    "qualification",
    "trust",
]
