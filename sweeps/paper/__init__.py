"""The paper's tables beside ours."""

__all__ = [
    "one_prompt",
    "paper_figures",
    "render",
    "table",
    "verdicts",
]
