"""What a run leaves: records, samples and chains, and how they are found again."""

__all__ = [
    "base_model",
    "chain",
    "choice",
    "data_frame",
    "machine",
    "metric",
    "metric_names",
    "metrics_of",
    "numbers",
    "record",
    "recorded_generation",
    "samples",
    "sweep",
    "told_keys",
]
