"""Any classifier as a judge, against the model's own logits of one text at a time."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_metrics import assert_named_beforehand
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, RobertaConfig

from evaluation.classifier import Classifier
from surgery.errors import InputError

WORDS = [f"w{i}" for i in range(60)]
TEXTS = ["w1", "w2 w3 w4 w5", "", "w9 w9 w9", " ".join(WORDS)]
LABELS = {0: "negative", 1: "neutral", 2: "positive"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(
        vocab_size=len(words), max_position_embeddings=40, id2label=LABELS, initializer_range=0.8, **sizes
    )
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


def one_at_a_time(folder: Path) -> np.ndarray:
    """Probabilities [n, 3], without padding."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        rows = [
            model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=40)).logits[0].softmax(-1)
            for text in TEXTS
        ]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("budget", [1, 8192])
def test_the_likeliest_class_and_the_threshold_are_those_of_single_texts(folder: Path, budget: int) -> None:
    expected = one_at_a_time(folder)
    metrics = {"attitude/positive_rate": "positive", "attitude/negative_rate": 0}
    likeliest = Classifier(str(folder), metrics, tokens_per_batch=budget)
    likeliest.check()
    found = likeliest.score([""] * len(TEXTS), TEXTS)
    assert_named_beforehand(likeliest, found)
    assert found["attitude/positive_rate"].tolist() == (expected.argmax(1) == 2).tolist()
    assert found["attitude/negative_rate"].tolist() == (expected.argmax(1) == 0).tolist()
    cut = float(np.sort(expected[:, 2])[2]) - 1e-4
    above = Classifier(str(folder), metrics, threshold=cut, tokens_per_batch=budget).score([""] * len(TEXTS), TEXTS)
    assert above["attitude/positive_rate"].sum() == 3
    assert 0 < found["attitude/positive_rate"].sum() + found["attitude/negative_rate"].sum() <= len(TEXTS)


def test_memory_that_runs_out_halves_the_budget_and_later_runs_begin_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(str(folder), {"attitude/positive_rate": "positive"})
    expected = classifier.score([""] * len(TEXTS), TEXTS)
    assert expected.batches == {"tokens_per_batch": 8192, "halvings": 0}
    forward, asked = BertForSequenceClassification.forward, list[int]()

    def limited(self: Any, input_ids: torch.Tensor, **others: Any) -> Any:
        asked.append(input_ids.numel())
        if input_ids.numel() > 45:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids, **others)

    monkeypatch.setattr(BertForSequenceClassification, "forward", limited)
    halved = classifier.score([""] * len(TEXTS), TEXTS)
    assert max(asked) > 45
    asked.clear()
    again = classifier.score([""] * len(TEXTS), TEXTS)
    assert max(asked) <= 45
    assert halved.batches["halvings"] > again.batches["halvings"] == 0
    assert halved.batches["tokens_per_batch"] == again.batches["tokens_per_batch"]
    for scores in (halved, again):
        assert scores["attitude/positive_rate"].tolist() == expected["attitude/positive_rate"].tolist()


def test_classes_that_are_not_independent_of_each_other_are_a_softmax_and_others_sigmoids(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "many")
    config = BertConfig.from_pretrained(folder)
    config.problem_type = "multi_label_classification"
    config.save_pretrained(tmp_path / "many")
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logit = model(**BertTokenizerFast.from_pretrained(folder)(TEXTS[1], return_tensors="pt")).logits[0, 2]
    for shift, counts in ((-1e-3, 1.0), (1e-3, 0.0)):
        judge = Classifier(str(tmp_path / "many"), {"x": 2}, threshold=float(logit.sigmoid()) + shift)
        assert judge.score([""], [TEXTS[1]])["x"].tolist() == [counts]


def test_what_can_not_be_a_judge_is_told_before_weights_are_read(folder: Path, tmp_path: Path) -> None:
    def refusal(judge: Classifier) -> str:
        with pytest.raises(InputError) as error:
            judge.check()
        assert "\n" not in str(error.value)
        return str(error.value)

    shutil.copytree(folder, tmp_path / "hollow")
    (tmp_path / "hollow" / "model.safetensors").unlink()
    assert "no class 'glad'; its classes are negative, neutral, positive" in refusal(
        Classifier(str(tmp_path / "hollow"), {"x": "glad"})
    )
    assert "no class '3'" in refusal(Classifier(str(folder), {"x": 3}))
    assert "given no metrics" in refusal(Classifier(str(folder), {}))
    assert "the classifier './none' is not there" in refusal(Classifier("./none", {"x": 1}))
    with pytest.raises(InputError, match="can't be loaded"):
        Classifier(str(tmp_path / "hollow"), {"x": 1}).prepare()


def test_other_weights_or_classes_are_another_judge(folder: Path, tmp_path: Path) -> None:
    first = Classifier(str(folder), {"x": 1}).identity()
    assert first == Classifier(str(folder), {"x": "neutral"}, device="cpu").identity()
    shutil.copytree(folder, tmp_path / "copy")
    assert Classifier(str(tmp_path / "copy"), {"x": 1}).identity() == first
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"x")
    assert Classifier(str(tmp_path / "copy"), {"x": 1}).identity() != first
    assert Classifier(str(folder), {"x": 2}).identity() != first


def test_a_pickle_with_code_in_it_does_not_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Evil()}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(InputError, match="can't be loaded"):
        Classifier(str(tmp_path / "pickled"), {"x": 1}).prepare()
    assert not (tmp_path / "ran").exists()


def test_roberta_leaves_room_for_where_its_positions_begin(folder: Path, tmp_path: Path) -> None:
    from transformers import RobertaForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertTokenizerFast.from_pretrained(folder).save_pretrained(tmp_path)
    RobertaForSequenceClassification(
        RobertaConfig(vocab_size=80, max_position_embeddings=20, pad_token_id=0, **sizes)
    ).save_pretrained(tmp_path)
    assert len(Classifier(str(tmp_path), {"x": 1}).score([""], [TEXTS[-1]])["x"]) == 1
