"""Makes the study's prompts, probe texts, texts of perplexity and lm-eval tasks: `python -m validation.recipe DATA TO`.

DATA is a folder as docs of the study describe it, or `hub`. Every rule is stated here and was made before any model was
asked: prompts are chosen by their own toxicity, as Perspective scored them in the data, never by a model's answers.
"""

import argparse
import csv
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from evaluation.inputs.prompts import halves, read_prompts
from evaluation.judge.word_list import word_pattern
from surgery.errors import InputError
from surgery.files.hub import HubFiles
from surgery.files.text_file import require_file
from surgery.files.whole_files import written_whole
from surgery.texts.tables import read_table

# RealToxicityPrompts: so many prompts, the most toxic by Perspective; half are told on, half are chosen on.
PROMPTS = 400
# Of the report half, for k samples a prompt: every other one.
SAMPLED_EVERY = 2
# Texts of a probe, so many of each class; toxic and clean by Perspective.
PROBE_TEXTS = 300
TOXIC, CLEAN = 0.6, 0.1
# Characters of WikiText-2: what is chosen on is its end, what is told its beginning.
SELECTION_CHARACTERS, TABLE_CHARACTERS, REPORT_CHARACTERS, QUICK_CHARACTERS = 6_000, 6_000, 40_000, 2_000
# Where methods are compared at a price: so many characters of the end, as many of the beginning, about four windows
# each, which base and edited model both read; and the prompts of RealToxicityPrompts that are least toxic by
# Perspective, halved like any. More of either would cost a cell more than its continuations do.
PRICE_CHARACTERS = 8_000
HARMLESS = 40
# Of writing about oneself: so many prompts, each so many words long.
FIRST_PERSON_PROMPTS, FIRST_WORDS = 300, 5
FIRST_PERSON = ("I", "me", "my", "mine", "myself")
# Of the jailbreak prompts and their twins, in the file's order: every so many are told on, half as many are chosen on.
JAILBREAK_EVERY = 50

FILES = {
    "rtp": ("rtp/prompts_4000.jsonl", "hf://datasets/allenai/real-toxicity-prompts/prompts.jsonl"),
    "paradetox": ("paradetox/paradetox.tsv", "hf://datasets/s-nlp/paradetox/data/train-*.parquet"),
    "wikitext2": ("wikitext2/wiki.test.raw", "hf://datasets/Salesforce/wikitext/wikitext-2-raw-v1/test-*.parquet"),
    "goemotions": (
        "goemotions/train.tsv",
        "hf://datasets/google-research-datasets/go_emotions/simplified/train-*.parquet",
    ),
}
# Tasks that leave a model of this size room to lose, with their data in lm-eval's own columns.
TASKS = {
    "piqa": ("piqa/piqa.yaml", "benchmarks/piqa.jsonl"),
    "lambada": ("lambada/lambada_openai.yaml", "benchmarks/lambada.jsonl"),
    "arc_easy": ("arc/arc_easy.yaml", "benchmarks/arc_easy.jsonl"),
}
Row = dict[str, Any]


def rtp_rows(path: Path) -> list[Row]:
    """RealToxicityPrompts' rows that Perspective scored whole, the most toxic prompt first, each prompt once."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    scored = [row for row in rows if None not in (row["prompt"]["toxicity"], row["continuation"]["toxicity"])]
    scored.sort(key=lambda row: (-row["prompt"]["toxicity"], row["prompt"]["text"]))
    return list({row["prompt"]["text"]: row for row in reversed(scored)}.values())[::-1]


def prompts_and_rest(rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The prompts of the study, and the rows that are free for probes; `rows` as `rtp_rows` sorts them."""
    return [row["prompt"]["text"] for row in rows[:PROMPTS]], list(rows[PROMPTS:])


def probe_rows(rest: Sequence[Row], text: Callable[[Row], str], seed: int = 0) -> list[Row]:
    """Texts with the label 1 where Perspective takes the continuation for toxic and 0 where for clean, as many each."""
    shuffled = list(rest)
    random.Random(seed).shuffle(shuffled)
    toxic = [row for row in shuffled if row["continuation"]["toxicity"] >= TOXIC]
    clean = [row for row in shuffled if row["continuation"]["toxicity"] < CLEAN]
    n = min(PROBE_TEXTS, len(toxic), len(clean))
    return [{"text": text(row), "label": label} for label, half in ((1, toxic), (0, clean)) for row in half[:n]]


def paradetox_rows(pairs: Iterable[Sequence[str]], seed: int = 0) -> list[Row]:
    """Toxic sentences (1) and each one's first neutral rewriting (0)."""
    shuffled = [pair for pair in pairs if len(pair) > 1 and pair[0].strip() and pair[1].strip()]
    random.Random(seed).shuffle(shuffled)
    return [{"text": pair[1 - label], "label": label} for label in (1, 0) for pair in shuffled[:PROBE_TEXTS]]


def emotion_rows(rows: Iterable[Sequence[str]], seed: int = 0) -> list[Row]:
    """Comments that are angry or disgusted (1: anger, annoyance, disgust) and those that are kind (0: admiration,
    approval, caring, gratitude, love), of GoEmotions."""
    hostile, kind = {"2", "3", "11"}, {"0", "4", "5", "15", "18"}
    labelled = [(row[0], set(row[1].split(","))) for row in rows]
    random.Random(seed).shuffle(labelled)
    chosen = {1: (hostile, kind), 0: (kind, hostile)}
    return [
        {"text": text, "label": label}
        for label, (wanted, other) in chosen.items()
        for text in [text for text, labels in labelled if labels & wanted and not labels & other][:PROBE_TEXTS]
    ]


def first_person(rows: Iterable[Sequence[str]], seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Comments that begin with who writes them (1) and those that never mention them (0), of GoEmotions; and, of other
    comments that begin so, the first words as prompts."""
    shuffled = list(dict.fromkeys(row[0] for row in rows))
    random.Random(seed).shuffle(shuffled)
    begins = [text for text in shuffled if re.match(r"(I|My)\b", text)]
    mentions = word_pattern(FIRST_PERSON)
    never = [text for text in shuffled if not mentions.search(text)]
    texts = [{"text": text, "label": label} for label, of in ((1, begins), (0, never)) for text in of[:PROBE_TEXTS]]
    rest = (text.split() for text in begins[PROBE_TEXTS:])
    prompts = dict.fromkeys(" ".join(words[:FIRST_WORDS]) for words in rest if len(words) > FIRST_WORDS)
    return texts, [{"prompt": prompt} for prompt in list(prompts)[:FIRST_PERSON_PROMPTS]]


def lm_eval_task(name: str, data: str | None) -> dict[str, Any]:
    """A task of lm-eval with another source of its questions, and accuracy as its one metric; None keeps the hub's."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise InputError("lm-eval is not installed; install the package with its dependencies")
    accuracy = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    config = {
        "include": str(Path(spec.origin).parent / "tasks" / TASKS[name][0]),
        "task": name,
        "tag": [],
        "metric_list": [accuracy],
    }
    if data is None:
        return config
    local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": {"test": data}}}
    return config | local | {"training_split": None, "validation_split": None, "test_split": "test"}


def make(data: str, to: Path) -> dict[str, int]:
    """Writes everything; returns how many rows each file has.

    Args:
        data: a folder, or `hub`.
        to: the folder that is written.

    Raises:
        InputError: when a file is not there.
    """
    hub = data == "hub"
    folder = Path(data).expanduser().resolve()
    counts: dict[str, int] = {}

    def write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        counts[name] = len(rows)
        with written_whole(to / name) as path:
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    def text(name: str, content: str) -> None:
        counts[name] = len(content)
        with written_whole(to / name) as path:
            path.write_text(content, encoding="utf-8", newline="")

    def source(name: str) -> Path:
        local, address = FILES[name]
        return HubFiles.parse(address, "data").fetch("data")[0] if hub else _there(folder / local)

    prompts, rest = prompts_and_rest(rtp_rows(source("rtp")))
    half_of = dict(zip(prompts, halves(prompts), strict=True))
    for half in ("report", "selection"):
        write(f"prompts_{half}.jsonl", [{"prompt": prompt} for prompt in prompts if half_of[prompt] == half])
    report = [prompt for prompt in prompts if half_of[prompt] == "report"]
    write("prompts.jsonl", [{"prompt": prompt} for prompt in prompts])
    write("harmless.jsonl", [{"prompt": row["prompt"]["text"]} for row in rest[-HARMLESS:]])
    write("prompts_sampled.jsonl", [{"prompt": prompt} for prompt in report[::SAMPLED_EVERY]])
    write("probe_rtp.jsonl", probe_rows(rest, lambda row: row["prompt"]["text"] + row["continuation"]["text"]))
    write("probe_continuations.jsonl", probe_rows(rest, lambda row: row["continuation"]["text"].strip()))
    write("probe_paradetox.jsonl", paradetox_rows(_columns(source("paradetox"), hub, PARADETOX)))
    write("probe_goemotions.jsonl", emotion_rows(_columns(source("goemotions"), hub, GOEMOTIONS)))
    texts, of_oneself = first_person(_columns(source("goemotions"), hub, GOEMOTIONS))
    write("probe_first_person.jsonl", texts)
    write("prompts_first_person.jsonl", of_oneself)
    text("words_first_person.txt", "\n".join(FIRST_PERSON) + "\n")
    wiki = _text(source("wikitext2"))
    text("wikitext2_selection.txt", wiki[-SELECTION_CHARACTERS:])
    text("wikitext2_table.txt", wiki[:TABLE_CHARACTERS])
    text("wikitext2_report.txt", wiki[:REPORT_CHARACTERS])
    text("wikitext2_price.txt", wiki[:PRICE_CHARACTERS])
    text("wikitext2_price_selection.txt", wiki[-PRICE_CHARACTERS:])
    text("wikitext2_quick.txt", wiki[:QUICK_CHARACTERS])
    text("wikitext2.txt", wiki)
    for name, (_, file) in TASKS.items():
        task = lm_eval_task(name, None if hub else str(_there(folder / file)))
        with written_whole(to / "tasks" / f"{name}.yaml") as path:
            path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    if not hub:
        _jailbreaks(folder, write)
    return counts


# Of a hub's table the columns, in the order of the local file's.
PARADETOX, GOEMOTIONS = ("en_toxic_comment", "en_neutral_comment"), ("text", "labels")


def _jailbreaks(folder: Path, write: Callable[[str, Sequence[Mapping[str, Any]]], None]) -> None:
    """Jailbreak prompts and their harmless twins, which no hub has, and requests that a chat model is probed with."""
    for name, file, level in (("jailbreak", "integrated.yaml", 2), ("twins", "benign_integrated.yaml", 1)):
        read = read_prompts(_there(folder / "jailbreak" / file), category=level)
        write(f"{name}.jsonl", [{"prompt": p.text, "category": p.category} for p in read[::JAILBREAK_EVERY]])
        offset = JAILBREAK_EVERY // 2
        chosen = read[offset :: 2 * JAILBREAK_EVERY]
        write(f"{name}_selection.jsonl", [{"prompt": p.text, "category": p.category} for p in chosen])
    requests = []
    for label, kind in ((1, "harmless"), (0, "harmful")):
        path = _there(folder / "refusal" / "splits" / f"{kind}_train.json")
        found = json.loads(path.read_text(encoding="utf-8"))
        random.Random(0).shuffle(found)
        requests += [{"text": row["instruction"], "label": label} for row in found[:250]]
    write("probe_requests.jsonl", requests)


def _there(path: Path) -> Path:
    return require_file(path, "the study's data")


def _columns(path: Path, hub: bool, names: Sequence[str]) -> list[Sequence[str]]:
    """Two columns of a table, as texts; several labels in one cell stand between commas."""
    if not hub:
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[Sequence[str]] = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return rows[1:] if rows[0][0] == "toxic" else rows
    table = read_table(path, "the study's data")
    first, second = (table.column(name) for name in names)
    joined = [",".join(map(str, cell)) if isinstance(cell, list | tuple) else str(cell) for cell in second]
    return list(zip(map(str, first), joined, strict=True))


def _text(path: Path) -> str:
    if path.suffix == ".parquet":
        return "\n\n".join(str(row) for row in read_table(path, "the study's data").column("text"))
    return path.read_text(encoding="utf-8")


def main() -> int:
    """Writes the files and says how many rows each has."""
    parser = argparse.ArgumentParser(description="make the study's prompts, probe texts and tasks")
    parser.add_argument("data", help="a folder, or hub")
    parser.add_argument("to", type=Path)
    given = parser.parse_args()
    try:
        counts = make(given.data, given.to)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    for name, n in counts.items():
        print(f"{name:28} {n:8,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
