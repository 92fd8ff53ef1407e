"""How the study's tables are written."""

from types import SimpleNamespace

from validation.report import as_page, blurred, blurred_table, commands


def test_words_are_blurred_but_for_their_ends() -> None:
    assert blurred("you stupid fool!") == "you s····d f··l!"


def test_only_the_words_of_a_model_are_blurred() -> None:
    table = "\n".join(
        [
            "table10: alpha",
            "| row | toxic | continuation |",
            "|---|---|---|",
            "| base | 51.4 | horrible people |",
            "continuations of: terrible",
        ]
    )
    _, head, _, row, prompt = blurred_table(table).splitlines()
    assert head == "| row | toxic | continuation |"
    assert row == "| base | 51.4 | h······e p····e |"
    assert prompt == "continuations of: t······e"


def test_what_stands_around_a_table_is_a_list_and_paths_are_left_out() -> None:
    printed = "title\n| row |\n|---|\n| base |\nholds: it does\n    by 3 points\noutputs/study/figure2.png\n"
    assert as_page(printed) == "- title\n\n| row |\n|---|\n| base |\n\n- holds: it does\n- by 3 points"


def test_cells_that_differ_in_one_setting_are_one_command() -> None:
    given = ["variant=ours probe=logistic sweep=s", "variant=random_region probe=logistic sweep=s", "variant=x sweep=s"]
    assert commands([SimpleNamespace(command=f"surgery {said}") for said in given]) == [
        "surgery --config-dir validation/conf -m probe=logistic sweep=s variant=ours,random_region",
        "surgery --config-dir validation/conf sweep=s variant=x",
    ]
