"""Who writes of themselves, by words counted by hand."""

import pytest

from validation.first_person import FirstPerson


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("and I went home", 1),
        ("i'm home", 1),
        ("so I’ve left", 1),
        ("give it to me.", 1),
        ("By myself", 1),
        ("she said it was mine", 1),
        ("it is in Miami, i.e. far away", 0),
        ("they met him in the army", 0),
        ("We like it", 0),
        ("", 0),
    ],
)
def test_a_pronoun_of_the_first_person_singular_is_what_counts(text: str, told: int) -> None:
    scores = FirstPerson().score(["I think that I", "x"], [text, "my"])
    assert {name: list(of) for name, of in scores.items()} == {"first_person/rate": [told, 1]}
