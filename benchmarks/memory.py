"""How much memory the readings of a real model take beside its weights, each in a process of its own.

    python benchmarks/memory.py MODEL TEXT.txt [--dtypes bfloat16 float32] [--windows 8] [--questions 16] [--texts 200]
        [--threads 2]

MODEL is a folder; TEXT any text of some thousand words. Perplexity reads windows of 1,024 tokens, lm-eval 16 questions
of about 500 tokens with four answers each, the probe's loss texts of 100 tokens. Told is the most memory that a process
held (VmHWM), less the bytes of the weights, less what Python and its libraries held before the model was loaded.
Goal: at most 1 GiB.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from surgery.files.temporary_folder import TemporaryFolder

GIB = 2**30
WORKS = ("perplexity", "lm-eval", "probe loss")
TASK = """
task: long_questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def held(what: str) -> int:
    """Bytes: `VmRSS` now or `VmHWM` at most, of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what)) * 1024


def perplexity(model: Any, tokenizer: Any, text: str, folder: Path, given: argparse.Namespace) -> int:
    """Reads some windows; how many tokens there were."""
    from evaluation.perplexity import Perplexity

    count = given.windows * 1024
    ids = tokenizer(text[: 20 * count], add_special_tokens=False)["input_ids"][:count]
    (folder / "text.txt").write_text(tokenizer.decode(ids))
    Perplexity({"text": folder / "text.txt"}).measure(model, tokenizer)
    return count


def lm_eval(model: Any, tokenizer: Any, text: str, folder: Path, given: argparse.Namespace) -> int:
    """Answers long questions; how many there were."""
    from evaluation.lm_eval_tasks import LmEval

    words = text.split()
    with (folder / "questions.jsonl").open("w") as file:
        for index in range(given.questions):
            part = words[index * 400 : (index + 1) * 400]
            choices = [" ".join(part[place : place + 6]) for place in (0, 7, 14, 21)]
            file.write(json.dumps({"question": " ".join(part), "choices": choices, "gold": 0}) + "\n")
    (folder / "long_questions.yaml").write_text(TASK.format(data=folder / "questions.jsonl"))
    (folder / "questions").mkdir()
    (folder / "long_questions.yaml").rename(folder / "questions" / "long_questions.yaml")
    task = LmEval(("long_questions",), folder / "questions")
    task.prepare()
    task.measure(model, tokenizer)
    return int(given.questions)


def probe_loss(model: Any, tokenizer: Any, text: str, folder: Path, given: argparse.Namespace) -> int:
    """Takes hidden states of texts, and a probe's loss on them; how many there were."""
    from evaluation.probe_loss import probe_loss as read
    from surgery import collect_hidden_states, fit_probe

    words, count = text.split(), given.texts
    texts = [" ".join(words[index * 100 : (index + 1) * 100]) for index in range(count)]
    layer = model.config.get_text_config().num_hidden_layers
    labels = [index % 2 for index in range(count)]
    states = collect_hidden_states(model, tokenizer, texts[:20], [layer])
    probe = fit_probe(states[layer], labels[:20], method="mean_difference", layer=layer)
    read(model, tokenizer, probe, texts, labels, [str(index) for index in range(count)])
    return count


def one(work: str, dtype: str, given: argparse.Namespace) -> None:
    """One reading, in this process; tells its numbers as JSON."""
    import torch

    from surgery import load_model
    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(given.threads)
    # What is imported by any of them; that is no part of what a reading takes.
    for module in ("lm_eval.evaluator", "lm_eval.models.huggingface", "sklearn.linear_model"):
        importlib.import_module(module)

    libraries = held("VmRSS")
    model, tokenizer = load_model(str(given.model), dtype=dtype, device="cpu")
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    text = given.text.read_text(encoding="utf-8")
    with TemporaryFolder("memory") as folder:
        read = {"perplexity": perplexity, "lm-eval": lm_eval, "probe loss": probe_loss}[work]
        read(model, tokenizer, text, folder, given)
    print(json.dumps({"peak": held("VmHWM"), "libraries": libraries, "weights": weights}))


def main() -> None:
    """Prints a line for each reading and dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--works", nargs="+", default=WORKS, choices=WORKS)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(*given.one, given)
        return
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, {given.threads} threads, {given.model}"
    )
    for dtype in given.dtypes:
        for work in given.works:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", work, dtype]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            beside = found["peak"] - found["weights"] - found["libraries"]
            print(
                f"{work:11} {dtype:9} at most {found['peak'] / GIB:5.2f} GiB: weights {found['weights'] / GIB:.2f}, "
                f"Python and libraries {found['libraries'] / GIB:.2f}, the rest {beside / GIB:.2f} GiB (goal: 1)",
                flush=True,
            )


if __name__ == "__main__":
    main()
