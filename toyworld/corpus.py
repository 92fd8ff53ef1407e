"""All texts of the toy world, drawn from a seed. No text of one group occurs in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from toyworld.dialogue import contagious_tones, dialogue, prompt
from toyworld.grammar import is_toxic, vocabulary
from toyworld.narration import passage, scene
from toyworld.tasks import Document, fact_document, recall_document, sum_document

PROBE_TEXTS = 1600
PROMPTS = 400
HELD_OUT = 400
TASK_DOCUMENTS = 100
SCORER_TEXTS = 12_000
SCORER_TEST_TEXTS = 2000
DIALOGUE_SHARE = 0.45
# Most prompts end on an insult; the rest end on a kind turn after one, so that not every prompt pulls the same way.
PROMPT_TONES = (
    *[[True]] * 2, *[[True] * 2] * 3, *[[True] * 3] * 3, [False, True], [False, True, True], [True, True, False],
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Corpus:
    """Every group of texts but the language model's own documents, which `training_documents` draws."""

    probe: list[tuple[str, int]]
    prompts: list[str]
    held_out: list[str]
    held_out_selection: list[str]
    scorer: list[str]
    scorer_test: list[str]
    tasks: dict[str, list[Document]]

    def groups(self) -> dict[str, list[str]]:
        """The texts of each group by its name."""
        documents = {name: [document.text for document in drawn] for name, drawn in self.tasks.items()}
        return documents | {
            "probe": [text for text, _ in self.probe],
            "prompts": self.prompts,
            "heldout": self.held_out,
            "heldout_selection": self.held_out_selection,
            "scorer": self.scorer,
            "scorer_test": self.scorer_test,
        }


def probe_text(random: Random) -> tuple[str, int]:
    """A dialogue and its label: 1 if mostly insulting, 0 if wholly kind."""
    insulting = random.random() < 0.5
    tones = [insulting and random.random() < 0.9 for _ in range(random.randint(1, 4))]
    tones[-1] = insulting
    return dialogue(random, tones), int(insulting)


def scorer_text(random: Random) -> str:
    """Something a model might say: talk in any tone, narration, or broken text, cut off after up to 24 words."""
    kind = random.random()
    if kind < 0.6:
        tones = [random.random() < 0.3 for _ in range(random.randint(1, 3))]
        text = dialogue(random, tones)
        # A continuation begins after its speaker's header.
        text = text.split(" : ", 1)[1] if random.random() < 0.8 else text
    elif kind < 0.8:
        text = passage(random, random.randint(1, 3))
    else:
        text = " ".join(random.choices(vocabulary(), k=random.randint(1, 24)))
        text = text if random.random() < 0.5 else " ".join(word for word in text.split() if not is_toxic(word))
    return " ".join(text.split()[: random.randint(3, 24)]) or scene(random)


class Drawer:
    """Draws groups of texts; a text that was drawn before is drawn again."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._taken: set[str] = set()

    def draw(self, make: Callable[[Random], T], count: int, text_of: Callable[[T], str]) -> list[T]:
        """So many different things, told apart by their texts."""
        drawn: list[T] = []
        while len(drawn) < count:
            one = make(self._random)
            if text_of(one) not in self._taken:
                self._taken.add(text_of(one))
                drawn.append(one)
        return drawn

    def texts(self, make: Callable[[Random], str], count: int) -> list[str]:
        """So many different texts."""
        return self.draw(make, count, str)


def draw_corpus(seed: int) -> Corpus:
    """Draw every group from the seed."""
    drawer = Drawer(Random(seed))
    draw, texts = drawer.draw, drawer.texts

    kinds = {"toy_facts": fact_document, "toy_sums": sum_document, "toy_recall": recall_document}
    tasks = {
        name + suffix: draw(make, TASK_DOCUMENTS, lambda document: document.text)
        for name, make in kinds.items()
        for suffix in ("", "_selection")
    }
    return Corpus(
        probe=draw(probe_text, PROBE_TEXTS, lambda labelled: labelled[0]),
        prompts=texts(lambda random: prompt(random, random.choice(PROMPT_TONES)), PROMPTS),
        held_out=texts(lambda random: passage(random, random.randint(1, 3)), HELD_OUT),
        held_out_selection=texts(lambda random: passage(random, random.randint(1, 3)), HELD_OUT),
        scorer=texts(scorer_text, SCORER_TEXTS),
        scorer_test=texts(scorer_text, SCORER_TEST_TEXTS),
        tasks=tasks,
    )


def training_documents(seed: int, count: int, corpus: Corpus) -> list[str]:
    """Documents for the language model: none of them is, or begins with, a text of the corpus's other groups."""
    random = Random(f"training {seed}")
    taken = {text for texts in corpus.groups().values() for text in texts}
    prompts = set(corpus.prompts)
    documents: list[str] = []
    while len(documents) < count:
        if random.random() < DIALOGUE_SHARE:
            text = dialogue(random, contagious_tones(random, random.randint(2, 5)))
        else:
            text = passage(random, random.randint(1, 4))
        turns = text.split(" : ")
        openings = {" : ".join(turns[:turn]) + " :" for turn in range(1, len(turns))}
        if text not in taken and not openings & prompts:
            documents.append(text)
    return documents
