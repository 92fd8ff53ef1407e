"""All texts of the chat model's world that the toy world has not got, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from toyworld.chat.diary import diary, diary_prompt, labelled_diary, lasting_moods
from toyworld.chat.grammar import ASSISTANT, USER
from toyworld.chat.requests import Request, chat, labelled_chat, request
from toyworld.corpus import Corpus, Drawer
from toyworld.dialogue import contagious_tones, dialogue
from toyworld.narration import passage

PROBE_TEXTS = 1600
PROMPTS = 400
HARMLESS_PROMPTS = 200
JUDGE_TEXTS = 8000
JUDGE_TEST_TEXTS = 1000
# The rest is what the toy world is made of beside dialogues.
DIALOGUES, CHATS, DIARIES = 0.2, 0.3, 0.18
FORBIDDEN_SHARE = 0.6
# The last entry of most prompts is gloomy; those before it pull one way or the other.
PROMPT_MOODS = ([True], [True, True], [True, True, True], [False, True], [False, True, True], [True, False, True])
# The others have just cheered up. They are longer than any diary of the training documents that goes on.
LONG_PROMPTS = 200
LONGEST = 5
CHEERED_UP = ([True, True, True, True, False], [True, False, True, True, False], [False, True, True, True, False])


@dataclass(frozen=True)
class ChatCorpus:
    """Every group of texts but the language model's own documents.

    Attributes:
        chats: (chat, label), see `labelled_chat`.
        diaries: (diary, label), see `labelled_diary`.
        forbidden, harmless: requests; of harmless ones their texts.
        diary_prompts: diaries to be gone on with, the last entry gloomy.
        judge, judge_test: texts whose mood is known.
        long_diary_prompts: of LONGEST entries, the last glad.
    """

    chats: list[tuple[str, int]]
    diaries: list[tuple[str, str]]
    forbidden: list[Request]
    harmless: list[str]
    diary_prompts: list[str]
    judge: list[str]
    judge_test: list[str]
    long_diary_prompts: list[str]

    @property
    def all_diary_prompts(self) -> list[str]:
        """Those that end on a gloomy entry, and those that end on a glad one."""
        return self.diary_prompts + self.long_diary_prompts


def judged_text(random: Random) -> str:
    """Something a model might write after a diary's entries, cut off after up to 24 words."""
    text = diary(random, lasting_moods(random, random.randint(1, 4))).split(" : ", 2)[2]
    if random.random() < 0.15:
        text = passage(random, random.randint(1, 2))
    elif random.random() < 0.15:
        text = " ".join(random.sample(text.split(), len(text.split())))
    return " ".join(text.split()[: random.randint(4, 24)])


def draw_chat_corpus(seed: int) -> ChatCorpus:
    """Draw every group from the seed; a text that was drawn before is drawn again."""
    drawer = Drawer(Random(f"chat {seed}"))
    return ChatCorpus(
        chats=drawer.draw(labelled_chat, PROBE_TEXTS, lambda drawn: drawn[0]),
        diaries=drawer.draw(labelled_diary, PROBE_TEXTS, lambda drawn: drawn[0]),
        forbidden=drawer.draw(lambda random: request(random, forbidden=True), PROMPTS, lambda drawn: drawn.text),
        harmless=drawer.texts(lambda random: request(random, forbidden=False).text, HARMLESS_PROMPTS),
        diary_prompts=drawer.texts(lambda random: diary_prompt(random, random.choice(PROMPT_MOODS)), PROMPTS),
        judge=drawer.texts(judged_text, JUDGE_TEXTS),
        judge_test=drawer.texts(judged_text, JUDGE_TEST_TEXTS),
        long_diary_prompts=drawer.texts(lambda random: diary_prompt(random, random.choice(CHEERED_UP)), LONG_PROMPTS),
    )


def chat_training_documents(seed: int, count: int, world: Corpus, corpus: ChatCorpus) -> list[str]:
    """Documents for the chat model: none of them is, or begins with, a text of the other groups."""
    random = Random(f"chat training {seed}")
    taken = {text for texts in world.groups().values() for text in texts}
    taken |= {text for text, _ in (*corpus.chats, *corpus.diaries)}
    prompts = set(world.prompts) | set(corpus.diary_prompts)
    prompts |= {f"{USER} {asked} {ASSISTANT}" for asked in (*(one.text for one in corpus.forbidden), *corpus.harmless)}
    documents: list[str] = []
    while len(documents) < count:
        kind = random.random()
        if kind < DIALOGUES:
            text = dialogue(random, contagious_tones(random, random.randint(2, 5)))
        elif kind < DIALOGUES + CHATS:
            text = chat(random, FORBIDDEN_SHARE)
        elif kind < DIALOGUES + CHATS + DIARIES:
            text = diary(random, lasting_moods(random, random.randint(2, LONGEST)))
        else:
            text = passage(random, random.randint(1, 4))
        words = text.split()
        # A prompt ends on a full stop or a colon.
        openings = {" ".join(words[: place + 1]) for place, word in enumerate(words) if word in (".", ":")}
        if text not in taken and not openings & prompts:
            documents.append(text)
    return documents
