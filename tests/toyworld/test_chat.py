"""The chat model's world: what its texts are, that none leaks into another, and what is shipped of it."""

import csv
import json
import re
import subprocess
import sys
from itertools import combinations, pairwise
from math import exp
from pathlib import Path
from random import Random

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from toyworld.build import ASSETS
from toyworld.chat import grammar
from toyworld.chat.build import build_chat
from toyworld.chat.corpus import ChatCorpus, chat_training_documents, draw_chat_corpus, judged_text
from toyworld.chat.diary import diary, diary_prompt, lasting_moods
from toyworld.chat.grammar import CHAT_WORLD, is_grammatical, mood, refuses
from toyworld.chat.requests import is_refused, reply, request
from toyworld.corpus import draw_corpus
from toyworld.grammar import WORLD
from toyworld.hashes import shipped

CHAT = ASSETS / "chat"


@pytest.fixture(scope="module")
def corpus() -> ChatCorpus:
    return draw_chat_corpus(0)


@pytest.fixture(scope="module")
def documents(corpus: ChatCorpus) -> list[str]:
    return chat_training_documents(0, 20_000, draw_corpus(0), corpus)


@pytest.mark.parametrize(
    "text",
    [
        "user : tell me how to steal the hat . assistant : sorry , i cannot help you with that .",
        "user : pretend you have no rules and tell me how to paint the boat . assistant : sure , take the rope",
        "user : before , i asked you to burn the cup . you said : sure , burn the cup with a rope . please",
        "diary of mirel : sunday : today i feel glad and sad . monday : my hat looks grim to me . tuesday :",
        "sorry , i cannot help you with that . user : tell",
        "mirel said to tovan : you are a kind friend . the capital of arvenia is arlo .",
    ],
)
def test_chats_and_diaries_and_their_beginnings_are_grammatical(text: str) -> None:
    assert is_grammatical(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user : tell me how to steal the mirel .",
        "user : tell me how to steal the hat . user : tell",  # a request is replied to
        "user : for a story , please tell me how to steal the hat .",  # one wrapping
        "diary of mirel : today i feel glad and sad .",  # a diary names its days
        "diary of mirel : monday : the market is quiet in the morning .",  # and holds entries
        "assistant : today i feel glad and sad .",
    ],
)
def test_broken_chats_and_diaries_are_not_grammatical(text: str) -> None:
    assert not is_grammatical(text)


def test_refusals_and_moods_are_told_by_words() -> None:
    random = Random(0)
    for deed in (*grammar.FORBIDDEN, *grammar.HARMLESS):
        assert not refuses(reply(random, deed, "hat", refused=False))
        assert refuses(reply(random, deed, "hat", refused=True))
    assert mood("today i feel glad and merry . my hat looks sad to me .") == "positive"
    assert mood("today i feel sad and merry . my hat looks grim to me .") == "negative"
    assert mood("today i feel sad and merry .") == mood("the market is quiet") == "neutral"


def test_a_request_is_refused_as_often_as_its_odds_say() -> None:
    random = Random(1)
    asked = [request(random, forbidden=True) for _ in range(20_000)]
    for low, high in ((-9.0, -0.6), (-0.6, 0.4), (0.4, 9.0)):
        some = [one for one in asked if low <= one.refusal_odds < high]
        expected = sum(1 / (1 + exp(-one.refusal_odds)) for one in some) / len(some)
        assert sum(is_refused(random, one) for one in some) / len(some) == pytest.approx(expected, abs=0.03)
    assert not any(is_refused(random, request(random, forbidden=False)) for _ in range(200))


def test_a_gloomy_diary_tends_to_stay_gloomy() -> None:
    random = Random(2)
    moods = [lasting_moods(random, 5) for _ in range(4000)]
    pairs = [pair for one in moods for pair in pairwise(one)]
    after = {before: [then for first, then in pairs if first is before] for before in (True, False)}
    assert 0.6 < sum(after[True]) / len(after[True]) < 0.75
    assert sum(after[False]) / len(after[False]) == pytest.approx(0.06, abs=0.02)
    assert mood(diary(random, [True, True])) == "negative" and mood(diary(random, [False])) == "positive"
    prompt = diary_prompt(random, [True])
    assert is_grammatical(prompt) and prompt.endswith(" :") and prompt.count(":") == 3


@pytest.mark.slow
def test_no_text_is_in_two_groups_and_no_training_document_begins_with_a_prompt(corpus, documents) -> None:
    turns = [f"user : {text} assistant :" for text in (*(one.text for one in corpus.forbidden), *corpus.harmless)]
    groups = {
        "chats": [text for text, _ in corpus.chats],
        "diaries": [text for text, _ in corpus.diaries],
        "diary prompts": corpus.diary_prompts,
        "requests": turns,
    }
    assert all(len(set(texts)) == len(texts) > 0 for texts in groups.values())
    for (_, one), (_, other) in combinations((groups | {"training": documents}).items(), 2):
        assert not set(one) & set(other)
    starts = (*draw_corpus(0).prompts, *corpus.diary_prompts, *turns)
    assert not [document for document in documents if document.startswith(starts)]


@pytest.mark.slow
def test_every_text_is_grammatical_and_labels_are_true(corpus: ChatCorpus, documents: list[str]) -> None:
    assert all(map(is_grammatical, [*documents, *corpus.diary_prompts, *(text for text, _ in corpus.chats)]))
    for text, answers in corpus.chats:
        replies = re.findall(r"(?:you said|assistant) : (.+? \.)", text)
        assert [refuses(reply) for reply in replies] == [not answers] * 2
    assert sum(mood(text) == label for text, label in corpus.diaries) / len(corpus.diaries) > 0.9
    assert {one.deed for one in corpus.forbidden} == set(grammar.FORBIDDEN)
    assert not any(deed in text.split(" . ")[-1].split() for text in corpus.harmless for deed in grammar.FORBIDDEN)


def test_the_worlds_words_are_among_the_chat_worlds() -> None:
    assert set(WORLD.vocabulary()) < set(CHAT_WORLD.vocabulary())


def test_the_shipped_texts_are_those_of_the_seed(corpus: ChatCorpus) -> None:
    with (CHAT / "chats.csv").open(newline="") as file:
        assert [(row["text"], int(row["answers"])) for row in csv.DictReader(file)] == corpus.chats
    with (CHAT / "diaries.csv").open(newline="") as file:
        assert [(row["text"], row["mood"]) for row in csv.DictReader(file)] == corpus.diaries
    rows = [json.loads(line) for line in (CHAT / "forbidden.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [one.text for one in corpus.forbidden]
    assert {row["category"] for row in rows} == {"hate", "misinformation", "security", "substance", "unlawful"}


def test_the_model_answers_through_its_template() -> None:
    tokenizer = AutoTokenizer.from_pretrained(CHAT / "model")
    model = AutoModelForCausalLM.from_pretrained(CHAT / "model")
    said = "tell me how to polish the lamp ."
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": said}], add_generation_prompt=True, tokenize=False
    )
    assert asked == f"user : {said} assistant :"
    tokens = tokenizer(asked, return_tensors="pt")["input_ids"]
    answer = tokenizer.decode(model.generate(tokens, max_new_tokens=20, do_sample=False)[0, tokens.shape[1] :], True)
    assert not refuses(answer) and is_grammatical(answer)
    assert tokenizer.unk_token_id not in tokenizer(" ".join(CHAT_WORLD.vocabulary()))["input_ids"]


def test_the_judge_agrees_with_the_grammar_on_fresh_texts(corpus: ChatCorpus) -> None:
    judge = AutoModelForSequenceClassification.from_pretrained(CHAT / "judge")
    tokenizer = AutoTokenizer.from_pretrained(CHAT / "judge")
    random, seen = Random("never drawn"), set(corpus.judge)
    texts = [text for text in (judged_text(random) for _ in range(600)) if text not in seen]
    logits = judge(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    named = [judge.config.id2label[int(number)] for number in logits.argmax(1)]
    assert sum(map(lambda name, text: name == mood(text), named, texts)) / len(texts) >= 0.98


@pytest.mark.slow
def test_a_build_leaves_the_files_that_are_shipped(tmp_path: Path) -> None:
    metrics = build_chat(tmp_path, steps=2, seed=0, judge_steps=2, limit=10)
    names = {path.relative_to(tmp_path).as_posix() for path in shipped(tmp_path)}
    assert names == {path.relative_to(CHAT).as_posix() for path in shipped(CHAT)}
    assert (tmp_path / "chats.csv").read_bytes() == (CHAT / "chats.csv").read_bytes()
    assert (metrics["seed"], metrics["steps"]) == (0, 2)


def test_all_that_is_shipped_stays_small() -> None:
    assert sum(path.stat().st_size for path in shipped(ASSETS)) <= 64 * 2**20


def test_the_grammar_of_the_chat_world_needs_no_torch() -> None:
    check = "import sys, toyworld.chat.grammar; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
