"""What engines do on a card: the model in memory, and a vLLM server with edits on it. benchmarks/gpu.py runs this.

Each does the same work, in token ids made here, through the project's own engines: prompts continued by 20 tokens;
questions with worked examples before them, all with the same, whose answers are of uneven length; windows of 2,048
tokens read; and the prompts continued under 16 edits of rank 1, which a server has one after another and all at once.
"""

import argparse
import gc
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from random_llama import Shape
from timing import seconds, tell

from evaluation.engines.decoding import Generation
from evaluation.engines.engine import Engine, engine_of
from surgery import Edit, rank_rows
from surgery.files.temporary_folder import TemporaryFolder
from surgery.model.fingerprints import fingerprint
from sweeps.cell.settings import EngineSettings, ModelSettings
from sweeps.serving.engine_version import version_of
from sweeps.serving.served_base import ServedBase
from sweeps.serving.served_edit import ProbeTexts, served_edit

EDITS = 16
# An edit of so many median norms of a gate row moves texts further than 16 bits round.
STEP = 4.0


@dataclass(frozen=True)
class Work:
    """What is asked of an engine, in token ids.

    Attributes:
        prompts: to continue by `short` tokens each.
        questions: to continue by up to `long` tokens each.
        windows: to read.
        tried: short texts that a server is tried on.
        ends: tokens that end an answer, where the model's own would never come.
    """

    prompts: list[list[int]]
    questions: list[list[int]]
    windows: list[list[int]]
    tried: list[list[int]]
    ends: list[int]
    short: int = 20
    long: int = 256

    @classmethod
    def of(cls, shape: Shape, prompts: int, small: bool) -> Self:
        """1,199 prompts of 20 tokens; 200 questions of 40 to 300 tokens after 1,000 of examples; 64 windows."""
        chance = random.Random(0)

        def row(length: int) -> list[int]:
            return [chance.randrange(2, shape.words) for _ in range(length)]

        examples, questions, windows, long = (40, 8, 4, 16) if small else (1000, 200, 64, 256)
        before = row(examples)
        lengths = [min(300, max(40, round(chance.lognormvariate(4.5, 0.4)))) for _ in range(questions)]
        return cls(
            [row(20) for _ in range(prompts)],
            [before + row(length // (8 if small else 1)) for length in lengths],
            [row(64 if small else 2048) for _ in range(windows)],
            [row(48) for _ in range(16)],
            # Of random weights' answers half end within `long / 2` tokens, or so.
            sorted(chance.sample(range(2, shape.words), k=max(1, round(1.4 * shape.words / long)))),
            long=long,
        )


def make_edits(model: Any, shape: Shape) -> list[Edit]:
    """Edits along directions of their own, on rows of their own."""
    generator = torch.Generator().manual_seed(0)
    step = STEP * float(model.model.layers[0].mlp.gate_proj.weight.float().norm(dim=1).median())
    edits = []
    for _ in range(EDITS):
        direction = torch.nn.functional.normalize(torch.randn(shape.width, generator=generator), dim=0)
        edits.append(Edit(direction, step, rank_rows(model, direction).lowest(shape.rows)))
    return edits


def measure_engine(name: str, engine: Engine, work: Work, ends: Callable[[], Any], device: str) -> None:
    """Tells of an unedited model; answers end as inside `ends`."""
    found: list[list[list[int]]] = []

    def speak(rows: Sequence[list[int]], most: int) -> None:
        found.append(engine.continuations(rows, Generation(max_new_tokens=most))[0])

    speak(work.prompts[:4], work.short)
    short = seconds(lambda: speak(work.prompts, work.short), device)
    said = sum(map(len, found[-1]))
    tell(
        f"{name}: short continuations",
        f"{short:.1f} s",
        f"{len(work.prompts):,} x {work.short}; {said / short:,.0f} tokens/s",
    )
    with ends():
        long = seconds(lambda: speak(work.questions, work.long), device)
    lengths = sorted(map(len, found[-1]))
    asked = sum(map(len, work.questions))
    each = f"{lengths[0]} to {lengths[-1]} each, median {lengths[len(lengths) // 2]}"
    tell(
        f"{name}: answers of uneven length",
        f"{long:.1f} s",
        f"{len(lengths):,} questions of {asked:,} tokens; {sum(lengths):,} tokens answered, {each}; "
        f"{sum(lengths) / long:,.0f} tokens/s",
    )
    scored = [len(row) - 1 for row in work.windows]
    engine.losses(work.windows[:1], scored[:1])
    reading = seconds(lambda: engine.losses(work.windows, scored), device)
    tell(f"{name}: reading", f"{sum(map(len, work.windows)) / reading:,.0f} tokens/s", "log-likelihoods of windows")


@contextmanager
def ending(model: Any, ends: list[int]) -> Iterator[None]:
    """Has some tokens end a text, for the body of a `with`, where the model's own settings name none."""
    own = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = ends if own is None else own
    try:
        yield
    finally:
        model.generation_config.eos_token_id = own


def measure_in_memory(model: Any, tokenizer: Any, edits: Sequence[Edit], work: Work, device: str) -> None:
    """Tells of transformers."""
    engine, settings = engine_of(model, tokenizer), Generation(max_new_tokens=work.short)
    measure_engine("transformers", engine, work, lambda: ending(model, work.ends), device)

    def one_by_one() -> None:
        for edit in edits:
            with edit.applied_to(model):
                engine.continuations(work.prompts, settings)

    tell(
        f"transformers: {EDITS} edits one after another", f"{seconds(one_by_one, device):.1f} s", "short continuations"
    )


def probe_texts(model: Any, tokenizer: Any, edits: Sequence[Edit], work: Work) -> list[ProbeTexts]:
    """What the model in memory makes of the texts that a server is tried on, for each edit."""
    engine, scored = engine_of(model, tokenizer), [len(row) - 1 for row in work.tried]
    base = engine.losses(work.tried, scored)[0]
    found = []
    for edit in edits:
        with edit.applied_to(model):
            found.append(ProbeTexts(work.tried, base, engine.losses(work.tried, scored)[0]))
    return found


def measure_served(
    base: ServedBase, edits: Sequence[Edit], probes: Sequence[ProbeTexts], work: Work, folder: Path
) -> None:
    """Tells of vLLM; each edit is put on the server, tried, and taken away, as a cell does it."""
    settings = Generation(max_new_tokens=work.short)
    starting = seconds(lambda: base.server(folder), "cpu")
    tell("vllm: starting", f"{starting:.0f} s")
    server, model = base.server(folder), base.shapes[0]
    measure_engine("vllm", base.served(server), work, lambda: ending(model, work.ends), "cpu")
    off: list[float] = []

    def one(place: int) -> None:
        with served_edit(base, server, [edits[place]], probes[place], folder / f"adapter-{place}") as (engine, tried):
            engine.continuations(work.prompts, settings)
            off.append(tried["move_off"])

    def at_once() -> None:
        with ThreadPoolExecutor(EDITS) as pool:
            list(pool.map(one, range(EDITS)))

    apart = seconds(lambda: [one(place) for place in range(EDITS)], "cpu")
    note = f"each put there, tried (off by at most {max(off):.2g}), and taken away"
    tell(f"vllm: {EDITS} edits one after another", f"{apart:.1f} s", note)
    together = seconds(at_once, "cpu")
    note = f"the same (off by at most {max(off[EDITS:]):.2g}); {apart / together:.1f} times as fast"
    tell(f"vllm: {EDITS} edits at once", f"{together:.1f} s", note)


def measure_engines(handed: list[tuple[Any, Any]], asked: argparse.Namespace, work: Work, shape: Shape) -> None:
    """Tells of each engine that is asked for.

    Args:
        handed: the model in memory and its tokenizer; taken out of the list, and let go of before a server starts.
        asked: the benchmark's arguments.
        work: what is measured.
        shape: of the model.
    """
    model, tokenizer = handed.pop()
    edits = make_edits(model, shape)
    if asked.engine in ("transformers", "both"):
        measure_in_memory(model, tokenizer, edits, work, asked.device)
    if asked.engine == "transformers":
        return
    probes, known = probe_texts(model, tokenizer, edits, work), fingerprint(model)
    with TemporaryFolder("benchmark") as folder:
        if not asked.model:
            model.save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
        del model, tokenizer
        gc.collect()
        torch.cuda.empty_cache()
        settings = ModelSettings(
            *("benchmark", str(asked.model or folder / "model"), None, "auto", asked.device, False, None, False, None)
        )
        more = ["--enforce-eager"] if asked.small else ["--gpu-memory-utilization", 0.85]
        engine = EngineSettings("vllm", python=asked.engine_python, max_loras=EDITS, max_lora_rank=1, arguments=more)
        base = ServedBase(settings, engine, known, version_of(engine), lambda text: None)
        try:
            measure_served(base, edits, probes, work, folder)
        finally:
            base.close()
