"""What a model's modules put out while it reads texts (the paper's Figure 2)."""

__all__ = [
    "attention_outputs",
    "gate_inputs",
    "module_outputs",
    "neuron_activity",
]
