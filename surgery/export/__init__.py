"""Edits as a PEFT adapter, or in a checkpoint that is written without building the model."""
