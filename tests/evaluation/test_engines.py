"""A model behind a server measures what it measures in memory: the server is small, and computes with the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_vllm import FakeVllm

from evaluation.continuations import Continuations
from evaluation.engines.completions_server import CompletionsServer, ServerLost
from evaluation.engines.engine import answered_by, engine_of
from evaluation.engines.in_memory import InMemory
from evaluation.engines.served import Served
from evaluation.evaluator import asks_engine
from evaluation.generation import Generation, generate
from evaluation.lm_eval_tasks import LmEval
from evaluation.perplexity import Perplexity
from surgery.errors import InputError
from surgery.model.model_files import skeleton

PROMPTS = ["w1 w2 w3", "w7", "w9 w8 w7 w6 w5 w4 w3", "w11 w12"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, FakeVllm, Served]]:
    """(the model, its tokenizer, the server, and the model without weights as the server answers for it)."""
    from .conftest import make_model, make_tokenizer

    folder = tmp_path_factory.mktemp("served")
    model, tokenizer = make_model(), make_tokenizer()
    model.save_pretrained(folder)
    fake = FakeVllm(folder)
    with fake.served() as url:
        yield model, tokenizer, fake, Served(CompletionsServer(url), "base", skeleton(folder), tokenizer, "0.32.0")


def test_continuations_are_those_in_memory(world: Any) -> None:
    model, tokenizer, _, served = world
    for settings in (Generation(6), Generation(9, stop=["w7"])):
        expected = generate(model, tokenizer, PROMPTS, settings)
        with answered_by(served.model, served):
            found = generate(served.model, tokenizer, PROMPTS, settings)
        assert (found.texts, found.shown) == (expected.texts, expected.shown)
        # What follows a text to stop at depends on who else is in the batch.
        assert settings.stop or found.ids == expected.ids
        assert found.batches["engine"] == "vllm 0.32.0"


def test_a_sampled_continuation_is_the_same_twice_and_another_with_another_seed(world: Any) -> None:
    *_, served = world
    rows = [[1, 5, 6], [1, 9]] * 3

    def drawn(seed: int) -> list[list[int]]:
        ids, _ = served.continuations(rows, Generation(8, do_sample=True, seed=seed))
        return [list(row) for row in ids]

    assert drawn(0) == drawn(0) != drawn(1)
    assert drawn(0)[0] != drawn(0)[2], "each place has a seed of its own"


def test_likelihoods_are_those_of_a_plain_loop(world: Any, tmp_path: Path) -> None:
    model, tokenizer, _, served = world
    (tmp_path / "text.txt").write_text(" ".join(f"w{i * i % 40}" for i in range(150)))
    evaluator = Perplexity({"toy": tmp_path / "text.txt"}, window=40, stride=15)
    with answered_by(served.model, served):
        (found,) = evaluator.measure(served.model, tokenizer)
    ids = tokenizer((tmp_path / "text.txt").read_text())["input_ids"]
    with torch.no_grad():
        plain = model(torch.tensor([ids[:40]])).logits[0].double().log_softmax(-1)
    assert found.scores[0] == pytest.approx(-sum(float(plain[i - 1, ids[i]]) for i in range(1, 40)), rel=1e-5)
    (expected,) = evaluator.measure(model, tokenizer)
    assert found.scores == pytest.approx(expected.scores, rel=1e-5) and found.sample_ids == expected.sample_ids


def test_lm_eval_scores_each_question_as_in_memory(world: Any, task_folder: Path) -> None:
    model, tokenizer, _, served = world
    evaluator = LmEval(task_folder)
    with answered_by(served.model, served):
        found = evaluator.measure(served.model, tokenizer)
    expected = {one.name: one for one in evaluator.measure(model, tokenizer)}
    assert {one.name for one in found} == set(expected)
    for one in found:
        assert one.scores == pytest.approx(expected[one.name].scores, rel=1e-5), one.name
        assert one.outputs == expected[one.name].outputs


def test_only_who_asks_the_engine_alone_says_so(world: Any) -> None:
    from evaluation.divergence.divergence import Divergence
    from evaluation.robustness.relearning import Relearning

    assert all(map(asks_engine, (Continuations, Perplexity, LmEval)))
    assert not any(map(asks_engine, (Divergence, Relearning, object())))


def test_a_model_is_its_own_engine_but_within_the_body(world: Any) -> None:
    model, tokenizer, _, served = world
    assert isinstance(engine_of(model, tokenizer), InMemory)
    with pytest.raises(KeyError), answered_by(model, served):
        assert engine_of(model, tokenizer) is served
        raise KeyError
    assert isinstance(engine_of(model, tokenizer), InMemory)


def test_what_is_refused_and_what_is_lost_are_told_apart(world: Any) -> None:
    *_, served = world
    with pytest.raises(InputError, match="maximum context length"):
        served.continuations([[1] * 64], Generation(6))
    gone = Served(served.server, "an-adapter-of-before", served.model, served.tokenizer, "0.32.0")
    with pytest.raises(ServerLost, match="does not serve what it did"):
        gone.losses([[1, 5, 6]], [2])
    with pytest.raises(ServerLost, match="does not answer"):
        CompletionsServer("http://127.0.0.1:9").version()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///etc/passwd", "http://me:secret@host", "http://"])
def test_an_address_without_a_server_or_with_a_key_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"engine\.url") as told:
        CompletionsServer(url)
    assert "secret" not in str(told.value)


def test_the_key_is_asked_for_and_never_shown(tmp_path: Path, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, fake, served = world
    monkeypatch.setattr(fake, "key", "hidden")
    with pytest.raises(InputError, match="SURGERY_ENGINE_KEY"):
        served.losses([[1, 5, 6]], [2])
    monkeypatch.setenv("SURGERY_ENGINE_KEY", "hidden")
    keyed = CompletionsServer.of_user(served.server.url)
    assert "hidden" not in repr(keyed)
    assert len(Served(keyed, "base", served.model, served.tokenizer, "0.32.0").losses([[1, 5, 6]], [2])[0]) == 1
