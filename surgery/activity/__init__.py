"""What a model's modules are given and put out while it reads texts (the paper's Figure 2, Wanda's scores)."""

__all__ = [
    "attention_outputs",
    "gate_inputs",
    "input_norms",
    "module_outputs",
    "neuron_activity",
]
