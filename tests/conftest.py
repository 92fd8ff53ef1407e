"""For all tests: no network, no account, and one thread a process, since several run side by side."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# Helpers that tests of several packages share lie beside this file.
sys.path.insert(0, str(Path(__file__).parent))

# A shell that starts something in the background has it ignore Ctrl-C; the commands under test must not inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a model might say to break out of a page that shows it.
HOSTILE = (
    """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><!-- \u2028 &lt; {{ 7*7 }}"""
)


@pytest.fixture
def made_sweep(tmp_path: Path) -> Path:
    """The folder of a sweep as a run leaves it, made by hand: alpha 1 to 3, top_k 4 and 8, one failed, one given up.

    Cell `c2-8` is the best by its rule on the selection half; `c3-8` broke the text; a prompt, a text and an error
    are hostile.
    """
    import numpy as np

    from evaluation.measurements.measurement import Measurement
    from sweeps.records.metrics_of import metrics_of
    from sweeps.records.record import CONFIG, SAMPLES, Record
    from sweeps.records.samples import write_samples

    ids = tuple(f"s{index}" for index in range(30))
    prompts = (HOSTILE, *(f"prompt number {index}" for index in range(1, 30)))
    base_texts = tuple(f"base says {index}" for index in range(30))

    def measured(half: Any, alpha: int, top_k: int) -> tuple[list[Measurement], list[Measurement]]:
        toxic = np.ones(30)
        changed = toxic.copy()
        changed[: 4 * alpha + 2 * top_k + (half == "report")] = 0
        texts = (HOSTILE, *(f"edited says {index}" for index in range(1, 30)))
        tokens = np.full(30, 10.0)
        losses = 20 + np.arange(30.0) / 10
        broken = 8.0 if (alpha, top_k) == (3, 8) else 0.1 * alpha + 0.01 * top_k
        weighted: dict[str, Any] = {"statistic": "perplexity", "weights": tokens}
        base = [
            Measurement("toxicity/toxic_rate", half, ids, toxic, outputs=base_texts, inputs=prompts),
            Measurement("perplexity/story", half, ids, losses, **weighted),
        ]
        edited = [
            Measurement("toxicity/toxic_rate", half, ids, changed, outputs=texts, inputs=prompts),
            Measurement("perplexity/story", half, ids, losses + broken, **weighted),
        ]
        return base, edited

    sweep = tmp_path / "outputs" / "runs" / "made"
    for alpha in (1, 2, 3):
        for top_k in (4, 8):
            name = f"c{alpha}-{top_k}"
            folder = sweep / name
            folder.mkdir(parents=True)
            halves = [measured(half, alpha, top_k) for half in ("report", "selection")]
            base, edited = ([one for pair in halves for one in pair[side]] for side in (0, 1))
            write_samples(folder / SAMPLES, base, edited)
            (folder / CONFIG).write_text("evaluation: {choose: {minimize: toxicity/toxic_rate}}")
            Record(
                cell=name,
                status="done",
                command=f"surgery alpha={alpha} top_k={top_k}",
                protocol="p",
                keys={"model": "tiny", "top_k": top_k, "alpha": float(alpha), "seed": 0},
                metrics=metrics_of(base, edited, 0),
                probe={"method": "adam", "layer": 2, "texts": 80, "fingerprint": "f", "test_accuracy": 0.9},
                edit={
                    "region": f"{top_k} of 160 rows by lowest cosine",
                    "rows_per_layer": {"1": 1, "3": top_k - 1},
                    "cosines": {"reach": 0.5, "rows": [10] * 16, "region": [top_k, *[0] * 15]},
                },
                seconds={"edited": 1.5 * alpha, "record": 0.5},
                machine={"processor": "made", "threads": 1},
            ).save(folder)
    for name, status in (("failed-cell", "failed"), ("pruned-cell", "pruned")):
        Record(name, status, error=HOSTILE, keys={"model": "tiny", "top_k": 4, "alpha": 9.0, "seed": 0}).save(  # type: ignore[arg-type]
            sweep / name
        )
    return sweep


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a tiny Llama of `gguf_world`, made once for each set of options."""
    made: dict[str, Path] = {}

    def make(**options: bool) -> Path:
        from gguf_world import save_llama

        if (key := repr(sorted(options.items()))) not in made:
            made[key] = tmp_path_factory.mktemp("llama") / "tiny"
            save_llama(made[key], **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def make_gguf(tiny_llama: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A GGUF file of it, written without this project; see `gguf_world.write_gguf`."""
    made: dict[str, Path] = {}

    def make(kind: str = "F32", options: dict[str, bool] | None = None, **changed: Any) -> Path:
        from gguf_world import write_gguf

        key = repr((kind, options, sorted(changed.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("gguf") / f"tiny-{kind}.gguf"
            write_gguf(tiny_llama(**(options or {})), made[key], kind, **changed)
        return made[key]

    return make
