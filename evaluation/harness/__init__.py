"""lm-eval, in process: its tasks, its batches, and a model as it takes one."""

__all__ = [
    "lm_eval_batches",
    "lm_eval_continuous",
    "lm_eval_model",
    "lm_eval_run",
    "lm_eval_served",
    "task_folder",
]
