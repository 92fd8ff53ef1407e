"""How the study's tables are written."""

from validation.report import blurred, blurred_table


def test_words_are_blurred_but_for_their_ends() -> None:
    assert blurred("you stupid fool!") == "you s····d f··l!"


def test_only_the_words_of_a_model_are_blurred() -> None:
    table = "\n".join(
        [
            "table10: alpha",
            "| row | toxic | goes on |",
            "|---|---|---|",
            "| base | 51.4 | horrible people |",
            "continuations of: terrible",
        ]
    )
    *_, row, prompt = blurred_table(table).splitlines()
    assert row == "| base | 51.4 | h······e p····e |"
    assert prompt == "continuations of: t······e"
