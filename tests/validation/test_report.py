"""How the study's tables are written."""

from validation.report import as_page, blurred, blurred_table


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


def test_what_stands_around_a_table_is_a_list_and_paths_are_left_out() -> None:
    printed = "title\n| row |\n|---|\n| base |\nholds: it does\n    by 3 points\noutputs/study/figure2.png\n"
    assert as_page(printed) == "- title\n\n| row |\n|---|\n| base |\n\n- holds: it does\n- by 3 points"
