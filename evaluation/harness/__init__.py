"""lm-eval, in process: its tasks, its batches, and a model as it takes one."""
