"""A cell's edit taken away: best, export, ask, and the same numbers elsewhere."""

import json
import subprocess
import sys
import warnings
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from surgery import Edit, load_model
from sweeps.findings.one_sentence import in_one_sentence
from sweeps.records.choice import Choice
from sweeps.records.record import Record
from sweeps.records.sweep import config_of


@pytest.fixture
def cell(surgery, arguments, tmp_path) -> Path:
    ran = surgery(*arguments, "top_k=12", "alpha=1.5")
    assert ran.code == 0, ran.err
    [result] = (tmp_path / "outputs").glob("runs/tiny-texts/*/result.json")
    return result.parent


def logits(model, tokenizer) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer("ann is a kind and rude person .", return_tensors="pt")).logits


def edited_logits(cell: Path, world) -> torch.Tensor:
    model, tokenizer = load_model(str(world.model))
    with Edit.load(cell / "edit.safetensors").applied_to(model):
        return logits(model, tokenizer)


def test_an_exported_checkpoint_is_the_model_that_was_measured_bit_for_bit(sweeps, cell, world, tmp_path) -> None:
    ran = sweeps("export", "tiny-texts", cell.name, "out", "--as", "checkpoint", "--verify")
    assert ran.code == 0, ran.err
    model, tokenizer = load_model(str(tmp_path / "out"))
    assert torch.equal(logits(model, tokenizer), edited_logits(cell, world))


def test_an_exported_adapter_says_what_the_measured_model_says(sweeps, cell, world, tmp_path) -> None:
    from peft import PeftModel

    assert sweeps("export", "tiny-texts", cell.name, "out").code == 0
    base, tokenizer = load_model(str(world.model))
    adapted = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    torch.testing.assert_close(logits(adapted, tokenizer), edited_logits(cell, world), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
def test_the_card_tells_what_the_record_tells(sweeps, cell, world, tmp_path, kind: str) -> None:
    assert sweeps("export", "tiny-texts", cell.name, "out", "--as", kind).code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    record = json.loads((cell / "result.json").read_text())
    head = yaml.safe_load(card.split("---")[1])
    assert "base_model" not in head
    assert str(world.model.parent) not in card
    assert "- base: `tiny` (files of whoever made this)" in card
    rule = Choice.parse(config_of(cell)["evaluation"]["choose"])
    assert f"{in_one_sentence(Record.load(cell), rule)}." in card
    metric = record["metrics"]["perplexity/story"]
    assert f"| `perplexity/story` | {metric['base']:.4f} | {metric['edited']:.4f} |" in card
    assert record["edit"]["base"] in card
    assert f"surgery model.path=PATH/{world.model.name} behavior.path=PATH/{world.texts.name}" in card
    assert "top_k=12" in record["command"]
    assert "licence of the base" in card


def test_the_command_of_a_record_makes_the_cell_again(surgery, cell) -> None:
    import shlex

    record = json.loads((cell / "result.json").read_text())
    program, *arguments = shlex.split(record["command"])
    assert program == "surgery"
    again = surgery(*arguments)
    assert "1 of 1 cells are finished already" in again.err


@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
def test_an_export_is_replaced_only_when_told_to_and_other_folders_never(sweeps, cell, tmp_path, kind: str) -> None:
    export = ["export", "tiny-texts", cell.name]
    assert sweeps(*export, "out", "--as", kind).code == 0
    refused = sweeps(*export, "out", "--as", kind)
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert sweeps(*export, "out", "--as", kind, "--force").code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    assert sweeps(*export, "other", "--as", kind).code == 1
    assert sweeps(*export, "other", "--as", kind, "--force").code == 1
    assert (tmp_path / "other" / "precious").exists()


def test_a_base_that_changed_and_an_edit_that_was_tampered_with_are_refused(sweeps, surgery, world, tmp_path) -> None:
    import shutil

    base = shutil.copytree(world.model, tmp_path / "base")
    run = [f"behavior.path={world.texts}", "evaluation=none", "tracking=none", "top_k=12", "sweep=s"]
    assert surgery("model.path=./base", *run).code == 0
    [result] = (tmp_path / "outputs").glob("runs/s/*/result.json")
    other = AutoModelForCausalLM.from_pretrained(base)
    for parameter in other.parameters():
        parameter.data.mul_(1.5)
    other.save_pretrained(base)
    refused = sweeps("export", "s", result.parent.name, "out", "--as", "checkpoint")
    assert refused.code == 1
    assert "was made for model" in refused.err
    adapter = sweeps("export", "s", result.parent.name, "adapter")
    assert adapter.code == 0, adapter.err
    asked = sweeps("ask", "adapter", "--prompt", "ann is")
    assert asked.code == 1
    assert "was made for model" in asked.err
    edit = result.parent / "edit.safetensors"
    damaged = bytearray(edit.read_bytes())
    damaged[-3] ^= 1
    edit.write_bytes(bytes(damaged))
    refused = sweeps("export", "s", result.parent.name, "out")
    assert refused.code == 1
    assert "changed after it was saved" in refused.err
    assert not (tmp_path / "out").exists()


def test_best_picks_on_the_selection_half_by_any_rule(surgery, sweeps, arguments, toy_judge, world, results) -> None:
    judged = [f"evaluation.prompts={world.prompts}", *toy_judge]
    assert surgery(*arguments, *judged, "-m", "alpha=-3,1,4", "top_k=40").code == 0
    measured = {cell: record["metrics"]["selection/toxicity/mean"] for cell, record in results().items()}
    for goal, pick, sign in (("--minimize", min, -1), ("--maximize", max, 1)):
        ran = sweeps("best", "tiny-texts", goal, "toxicity/mean", "--where", "perplexity/story/ratio > 0")
        # By hand: those whose whole interval lies on the wanted side of no change.
        beyond = {cell: m["edited"] for cell, m in measured.items() if min(sign * end for end in m["ci95"]) > 0}
        if beyond:
            assert f"chosen on the selection half: {pick(beyond, key=beyond.__getitem__)}" in ran.out
        else:
            assert (ran.code, "no cell is chosen: toxicity/mean" in ran.err) == (1, True)
    nothing = sweeps("best", "tiny-texts", "--minimize", "toxicity/mean", "--where", "perplexity/story/ratio < 0")
    assert nothing.code == 1
    assert "no cell qualifies for: lowest toxicity/mean with perplexity/story/ratio < 0" in nothing.err


def test_ask_shows_what_base_and_edited_model_say(sweeps, cell, world) -> None:
    prompt = "ann said to bob : bob is a"
    ran = sweeps("ask", "tiny-texts", cell.name, "--prompt", prompt, "--max-new-tokens", "6")
    assert ran.code == 0, ran.err
    model, tokenizer = load_model(str(world.model))
    edit = Edit.load(cell / "edit.safetensors")

    def greedy() -> str:
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        start = ids.shape[1]
        for _ in range(6):
            with torch.no_grad():
                ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
        return tokenizer.decode(ids[0, start:], skip_special_tokens=True)

    base = greedy()
    with edit.applied_to(model):
        edited = greedy()
    said = {line[:6].strip(): line[7:].strip() for line in ran.out.splitlines() if line}
    assert said["base"].split() == base.split()
    assert said["edited"].split() == edited.split()


def test_ask_without_a_terminal_wants_a_prompt(sweeps, cell, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(" \n"))
    ran = sweeps("ask", "tiny-texts", cell.name)
    assert ran.code == 1
    assert "--prompt" in ran.err


def test_ask_takes_a_prompt_a_line_of_what_is_piped_in(sweeps, cell, monkeypatch) -> None:
    prompts = ["ann said to bob : bob is a", "cid said to dee : ann is a"]
    said = [sweeps("ask", "tiny-texts", cell.name, "--prompt", prompt).out for prompt in prompts]
    monkeypatch.setattr("sys.stdin", StringIO(f"{prompts[0]}\n\n{prompts[1]}"))
    piped = sweeps("ask", "tiny-texts", cell.name)
    assert piped.out == "".join(f"prompt {prompt}\n{one}" for prompt, one in zip(prompts, said, strict=True))


def lm_eval(model_args: str, folder: Path) -> float:
    import toyworld

    tasks = Path(toyworld.__file__).parent / "assets" / "tasks"
    program = str(Path(sys.executable).parent / "lm_eval")
    command = [program, "--model", "hf", "--model_args", model_args, "--include_path", str(tasks)]
    command += ["--tasks", "toy_sums", "--output_path", str(folder), "--batch_size", "16", "--device", "cpu"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    [results] = folder.rglob("results_*.json")
    return float(json.loads(results.read_text())["results"]["toy_sums"]["acc,none"])


@pytest.mark.slow
def test_lm_evals_own_command_gives_the_records_values_on_checkpoint_and_adapter(surgery, sweeps, tmp_path) -> None:
    """On an edit that is strong enough to cost ability, so that the base would give another number."""
    import toyworld

    assert surgery("alpha=4", "top_k=400", "tracking=none", "evaluation.measurements.continuations=null").code == 0
    [result] = (tmp_path / "outputs").glob("runs/*/*/result.json")
    metric = json.loads(result.read_text())["metrics"]["lm_eval/toy_sums/acc"]
    assert metric["edited"] < metric["base"]
    name, cell = result.parts[-3:-1]
    base = Path(toyworld.__file__).parent / "assets" / "model"
    for kind, model_args in (
        ("checkpoint", f"pretrained={tmp_path / 'checkpoint'}"),
        ("adapter", f"pretrained={base},peft={tmp_path / 'adapter'}"),
    ):
        assert sweeps("export", name, cell, kind, "--as", kind).code == 0
        (tmp_path / f"eval-{kind}").mkdir()
        assert lm_eval(model_args, tmp_path / f"eval-{kind}") == pytest.approx(metric["edited"])


def test_ask_talks_to_an_exported_adapter_too(sweeps, cell) -> None:
    assert sweeps("export", "tiny-texts", cell.name, "out").code == 0
    question = ["--prompt", "ann said to bob : bob is a", "--max-new-tokens", "6"]
    from_cell = sweeps("ask", "tiny-texts", cell.name, *question)
    from_adapter = sweeps("ask", "out", *question)
    assert from_adapter.code == 0, from_adapter.err
    assert from_adapter.out == from_cell.out


def test_ask_of_an_adapter_is_quiet_about_what_libraries_do_among_themselves(sweeps, cell) -> None:
    assert sweeps("export", "tiny-texts", cell.name, "out").code == 0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ran = sweeps("ask", "out", "--prompt", "ann said to bob : bob is a", "--max-new-tokens", "2")
    assert ran.code == 0
    assert ran.err == ""
    assert [one.message for one in warned if "peft" in one.filename or "transformers" in one.filename] == []


def test_ask_talks_to_a_fine_tuned_cell_and_to_its_adapter(sweeps, fine_tuned) -> None:
    assert sweeps("export", "tiny-texts", fine_tuned.name, "out").code == 0
    question = ["--prompt", "ann said to bob : bob is a", "--max-new-tokens", "6"]
    from_cell = sweeps("ask", "tiny-texts", fine_tuned.name, *question)
    from_adapter = sweeps("ask", "out", *question)
    assert from_adapter.code == 0, from_adapter.err
    assert from_adapter.out == from_cell.out


def test_the_card_names_the_licence_that_the_base_states(tmp_path) -> None:
    from sweeps.export.model_card import licence_of

    assert licence_of(tmp_path) == "its files do not name one"
    (tmp_path / "LICENSE.txt").write_text("...")
    assert licence_of(tmp_path) == "see its LICENSE.txt"
    (tmp_path / "README.md").write_text("---\nlicense: llama2\n---\n# Base\n")
    assert licence_of(tmp_path) == "llama2"


@pytest.fixture
def fine_tuned(surgery, arguments, tmp_path) -> Path:
    ran = surgery(*arguments, "method=lora", "method.lr=1e-2", "method.rank=2")
    assert ran.code == 0, ran.err
    [result] = (tmp_path / "outputs").glob("runs/tiny-texts/*/result.json")
    return result.parent


@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
@pytest.mark.parametrize("made_by", ["cell", "fine_tuned"])
def test_a_push_sends_only_the_very_export_that_is_there(sweeps, request, tmp_path, kind, made_by) -> None:
    cell = request.getfixturevalue(made_by)
    export = ["export", "tiny-texts", cell.name, "out", "--as", kind]
    assert sweeps(*export).code == 0
    (tmp_path / "out" / "README.md").write_text((tmp_path / "out" / "README.md").read_text() + "\nBy me.\n")
    ran = sweeps(*export, "--push", "somebody/edited")
    assert ran.code == 0, ran.err
    assert "holds this export already" in ran.out
    assert (tmp_path / "out" / "README.md").read_text().endswith("By me.\n")
    weights = next((tmp_path / "out").glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    ran = sweeps(*export, "--push", "somebody/edited")
    assert ran.code == 1
    assert "is there already" in ran.err
    assert weights.read_bytes() != whole


def test_push_lists_what_would_be_sent_and_sends_nothing_unless_told_to(sweeps, cell, tmp_path) -> None:
    export = ["export", "tiny-texts", cell.name, "out"]
    ran = sweeps(*export, "--push", "somebody/edited")
    assert ran.code == 0, ran.err
    assert "somebody/edited" in ran.out
    assert "adapter_model.safetensors" in ran.out
    assert "the same command with --yes sends it" in ran.out
    again = sweeps(*export, "--push", "somebody/edited")
    assert again.code == 0, again.err
    assert "holds this export already" in again.out
    alone = sweeps(*export, "--force", "--yes")
    assert alone.code == 1
    assert "go with --push" in alone.err
