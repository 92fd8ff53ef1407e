import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "lm_eval", "detoxify", "datasets", "scipy", "pyarrow")


def test_evaluators_are_made_and_checked_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "one.yaml").write_text("task: one\n")
    program = f"""
import sys
import evaluation
for name in evaluation.__all__:
    getattr(evaluation, name)
scorers = {{"fluency": evaluation.Fluency(), "refusal": evaluation.Refusal(), "toxicity": evaluation.Toxicity()}}
for evaluator in (
    evaluation.Continuations({str(tmp_path / "prompts.txt")!r}, scorers=scorers),
    evaluation.Perplexity({{"text": {str(tmp_path / "prompts.txt")!r}}}),
    evaluation.LmEval({str(tasks)!r}),
):
    evaluator.check()
    evaluator.identity()
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
