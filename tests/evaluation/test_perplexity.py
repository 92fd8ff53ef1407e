import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from made_metrics import assert_named_beforehand
from transformers import LlamaForCausalLM

from evaluation.perplexity import Perplexity, perplexity_of, windows
from surgery.errors import InputError

from .conftest import make_model, with_little_memory

TEXT = "\n".join(" ".join(f"w{(i * i + 3 * line) % 40}" for i in range(11)) for line in range(9))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def plain_losses(model: LlamaForCausalLM, ids: list[int], window: int, stride: int) -> tuple[list[float], list[int]]:
    """Window by window and token by token: log-probabilities of tokens not yet scored."""
    losses, counts, done = [], [], 0
    for start in range(0, len(ids), stride):
        piece = ids[start : start + window]
        with torch.no_grad():
            likelihoods = model(torch.tensor([piece])).logits[0].double().log_softmax(-1)
        places = [place for place in range(1, len(piece)) if start + place >= done]
        done = start + len(piece)
        if places:
            losses.append(-sum(float(likelihoods[place - 1, piece[place]]) for place in places))
            counts.append(len(places))
        if done == len(ids):
            break
    return losses, counts


@pytest.mark.parametrize(
    ("window", "stride"), [(16, None), (16, 5), (16, 16), (20, 10), (1024, None), (99, None), (33, 1), (2, None)]
)
@pytest.mark.parametrize("tokens_per_batch", [1, 100])
def test_perplexity_is_that_of_a_plain_loop(
    model: Any, tokenizer: Any, text: Path, window: int, stride: int | None, tokens_per_batch: int
) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    within = min(window, 64)
    losses, counts = plain_losses(model, ids, within, stride or within)
    evaluator = Perplexity({"toy": text}, window=window, stride=stride, tokens_per_batch=tokens_per_batch)
    evaluator.check()
    (measured,) = evaluator.measure(model, tokenizer)
    assert measured.name == "perplexity/toy"
    assert measured.scores.tolist() == pytest.approx(losses, rel=1e-5)
    assert measured.weights is not None and measured.weights.tolist() == counts
    assert measured.summary == pytest.approx(math.exp(sum(losses) / sum(counts)), rel=1e-5)


def test_rows_of_a_parquet_file_are_one_text(tokenizer: Any, model: Any, tmp_path: Path) -> None:
    parquet, plain = tmp_path / "rows.parquet", tmp_path / "plain.txt"
    rows = TEXT.split("\n")
    pd.DataFrame({"text": rows, "other": range(len(rows))}).to_parquet(parquet)
    plain.write_text("\n\n".join(rows))
    ours, theirs = (Perplexity({"a": path}).measure(model, tokenizer)[0] for path in (parquet, plain))
    assert ours.scores.tolist() == theirs.scores.tolist()


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"words": ["a"]}, "has no column 'text'; its columns are words"), ({"text": ["a", None]}, "no text in row 2")],
)
def test_a_parquet_file_without_texts_is_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    pd.DataFrame(columns).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=said):
        Perplexity({"a": tmp_path / "rows.parquet"}).check()


def test_one_window_has_the_loss_that_the_model_itself_gives(tokenizer: Any, text: Path) -> None:
    model = make_model(positions=256)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        expected = math.exp(float(model(ids, labels=ids).loss))
    (measured,) = Perplexity({"toy": text}).measure(model, tokenizer)
    assert measured.summary == pytest.approx(expected, rel=1e-5)
    assert measured.inputs is not None and measured.inputs[0].startswith("<s> w0 w1 w4")


def test_overlapping_windows_score_each_token_once() -> None:
    for tokens in range(2, 40):
        for stride in range(1, 8):
            spans = windows(tokens, 7, stride)
            # Without overlap the first token of each window is not scored; with it, only the text's first.
            missed = 1 if stride < 7 else math.ceil(tokens / 7)
            assert sum(scored for _, _, scored in spans) == tokens - missed
            assert spans[-1][1] == tokens or (stride == 7 and tokens % 7 == 1)


def test_memory_that_runs_out_halves_the_budget_and_later_runs_begin_there(
    model: Any, tokenizer: Any, text: Path
) -> None:
    small, asked = with_little_memory(model, 40)
    evaluator = Perplexity({"toy": text}, window=16)
    (expected,), (measured,) = evaluator.measure(model, tokenizer), evaluator.measure(small, tokenizer)
    assert expected.notes == {"work": "loglikelihood", "tokens_per_batch": 4096, "halvings": 0}
    # 100 tokens are 7 windows, 7 x 16; then 64, which is 4 x 16; then 32.
    assert [tokens for tokens in asked if tokens > 40] == [112, 64]
    assert measured.notes == {"work": "loglikelihood", "tokens_per_batch": 32, "halvings": 2}
    (again,) = evaluator.measure(small, tokenizer)
    assert again.notes == {"work": "loglikelihood", "tokens_per_batch": 32, "halvings": 0}
    for one in (measured, again):
        assert one.scores.tolist() == pytest.approx(expected.scores.tolist(), rel=1e-6)


def test_windows_of_other_texts_do_not_pair(model: Any, tokenizer: Any, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(TEXT.replace("w9", "w8"))
    first, second = Perplexity({"a": text, "b": other}, window=16).measure(model, tokenizer)
    assert_named_beforehand(Perplexity({"a": text, "b": other}), [first.name, second.name])
    assert first.sample_ids != second.sample_ids


def test_texts_and_windows_that_can_not_be_used_are_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    for content, says in ((b"", "is empty"), (b"caf\xe9", "line 1"), (None, "is a folder")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=says):
            Perplexity({"toy": path if content is not None else tmp_path}).check()
    path.write_text(TEXT)
    for wrong in ({"window": 1}, {"stride": 0, "window": 8}, {"stride": 9, "window": 8}, {"tokens_per_batch": 0}):
        with pytest.raises(InputError, match="can't be used"):
            Perplexity({"toy": path}, **wrong).check()  # type: ignore[arg-type]


def test_the_identity_is_of_the_content(text: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text.read_bytes())
    identity = Perplexity({"toy": text}).identity()
    assert Perplexity({"toy": copy}, stride=1024).identity() == identity
    assert Perplexity({"toy": copy}, window=512).identity() != identity
    copy.write_text(TEXT + " w1")
    assert Perplexity({"toy": copy}).identity() != identity


def test_the_perplexity_of_pieces_is_that_of_a_plain_loop_and_infinite_where_there_are_no_numbers(model: Any) -> None:
    pieces = [[3, 5, 7, 9], [4], [8, 6, 4]]
    losses = [loss for piece in pieces for loss in plain_losses(model, piece, 64, 64)[0]]
    assert perplexity_of(model, None, pieces) == pytest.approx(math.exp(sum(losses) / 5), rel=1e-5)
    with pytest.raises(InputError, match="two are needed"):
        perplexity_of(model, None, [[4]])
    weight = model.get_output_embeddings().weight.data
    kept = weight.clone()
    weight[0, 0] = float("nan")
    try:
        assert perplexity_of(model, None, pieces) == math.inf
    finally:
        weight.copy_(kept)


def test_the_beginning_of_a_text_is_its_first_tokens_in_windows(model: Any, tokenizer: Any, text: Path) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    evaluator = Perplexity({"a": text, "b": "never read"}, window=16, stride=4)
    assert evaluator.beginning(model, tokenizer, 40) == [ids[:16], ids[16:32], ids[32:40]]
    # The model takes 64.
    assert Perplexity({"a": text}).beginning(model, tokenizer, 10_000) == [ids[:64], ids[64:]]
