"""What `--help` and `--version` of the two commands say."""

from importlib.metadata import version
from pathlib import Path

import yaml

from sweeps.help.key_comments import key_comments


def keys_below(said: str) -> dict:
    """The keys that are shown, read as the YAML that they are written as."""
    return yaml.safe_load(said.split("== Keys, set by KEY=VALUE ==\n")[1].split("\n== Examples ==", maxsplit=1)[0])


def test_both_commands_tell_our_version(surgery, sweeps) -> None:
    expected = f"llm-surgery {version('llm-surgery')}\n"
    assert surgery("--version").out == sweeps("--version").out == expected


def test_help_shows_every_key_with_its_value_and_comment(surgery) -> None:
    ran = surgery("--help", "model=local", "behavior=tabular")
    assert ran.code == 0, ran.err
    assert "${" not in ran.out
    lines = {line.split("#")[0].strip(): line.partition("# ")[2] for line in ran.out.splitlines()}
    assert lines["alpha: 1.0"] == "any finite number but 0; negative moves toward the behavior"
    assert lines["path: (to be given)"]
    # From files of groups, and a comment of a block beside its name.
    assert lines["component: gate_proj"].startswith("or up_proj, down_proj")
    assert lines["thought:"] == "how the model marks its thoughts"
    shown = keys_below(ran.out)
    assert shown["layer"] == "last"
    assert shown["sweep"] == "(follows from other keys)"
    assert shown["model"]["thought"] == {
        "begin": "<think>",
        "end": "</think>",
        "arguments": {"enable_thinking": False},
        "empty": None,
    }
    assert shown["evaluation"]["max_new_tokens"] == 20
    config = Path(__file__).parents[2] / "conf" / "config.yaml"
    there = yaml.safe_load(config.read_text()).keys() - {"defaults", "hydra"}
    assert there <= shown.keys()


def test_help_lists_groups_of_a_persons_own_folder_with_what_their_files_say(surgery, tmp_path) -> None:
    (tmp_path / "mine" / "behavior").mkdir(parents=True)
    (tmp_path / "mine" / "behavior" / "grumpy.yaml").write_text("path: 'a # b.csv' # of the forum\ntext: body\n")
    ran = surgery("--help", "--config-dir", "mine", "behavior=grumpy", "model=toyworld-chat")
    assert ran.code == 0, ran.err
    assert "grumpy" in ran.out.split("behavior: ")[1].splitlines()[0]
    assert "  path: 'a # b.csv'                     # of the forum" in ran.out.splitlines()
    assert keys_below(ran.out)["behavior"]["text"] == "body"


def test_a_comment_is_that_of_the_file_that_speaks_last(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "e.yaml").write_text("# @package _global_\nalpha: 3 # mine\nmodel:\n  dtype: auto\n")
    without = key_comments({})
    comments = key_comments({"experiment": "e", "variant": None}, str(tmp_path))
    assert comments["alpha"] == "mine"
    assert {**comments, "alpha": without["alpha"]} == without
