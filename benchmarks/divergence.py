"""How close the kept 256 tokens come to the whole divergence: `python benchmarks/divergence.py MODEL PROMPTS`.

MODEL is edited at its last layer by a random direction of some sizes; for each, the divergence over whole distributions
is set against that over the likeliest tokens and one bin.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from evaluation.continuations import Continuations
from evaluation.divergence import Divergence
from evaluation.generation import Generation
from surgery import Edit, load_model, rank_rows

ALPHAS, KEPT = (0.05, 0.2, 0.8), (16, 64, 256)


def main(path: str, prompts: str) -> None:
    """Prints a row for each alpha and number of kept tokens."""
    model, tokenizer = load_model(path, dtype="float32")
    answers = Continuations(prompts, limit=24, generation=Generation(max_new_tokens=32, chat=True))
    rows = model.get_output_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(model.config.hidden_size, generator=generator)
    ranking = rank_rows(model, direction)
    edits = [Edit(direction=direction, alpha=alpha, region=ranking.lowest(2000)) for alpha in ALPHAS]
    print("kept   " + "".join(f"alpha {alpha:<18}" for alpha in ALPHAS))
    found: dict[int, list[float]] = {}
    for kept in (rows, *KEPT):
        evaluator = Divergence(answers, kept)
        with TemporaryDirectory() as folder:
            evaluator.keep(model, tokenizer, Path(folder))
            found[kept] = []
            for edit in edits:
                with edit.applied_to(model):
                    measured = evaluator.measure_against(Path(folder), model, tokenizer)
                scores = [one.scores.mean() for one in measured if one.name == "divergence/kl"]
                found[kept].append(float(sum(scores) / len(scores)))
        shares = [f"{value:.5f} ({value / whole:6.2%})" for value, whole in zip(found[kept], found[rows], strict=True)]
        print(f"{kept:<7}" + "".join(f"{share:<24}" for share in shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
