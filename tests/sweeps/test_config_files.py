"""What is wrong with a file below --config-dir is one line with its name and line; texts in it stay texts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from surgery import InputError
from sweeps.config.config_files import FileConfigSource, place_of


def load(folder: Path, content: str | bytes, name: str = "behavior/b") -> Any:
    """The config that a file holds, as Hydra's source gives it."""
    file = folder / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return OmegaConf.to_container(FileConfigSource("test", f"file://{folder}").load_config(name).config)


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        ("path:\ta.csv\n", 1, "a tab stands where YAML wants spaces"),
        ("labels:\n\tx: [1]\n", 2, "a tab stands where YAML wants spaces"),
        ("path: a\ntext: b\npath: c\n", 3, "'path' is given twice, first in line 1"),
        ("labels:\n  a: [1]\n  a: [2]\n", 3, "'a' is given twice, first in line 2"),
        ("labels: {1: [a], 1: [b]}\n", 1, "'1' is given twice"),
        (b"path: a\ntext: t\xe4xt\n", 2, "the byte e4 is not UTF-8"),
        ("path: a\n".encode("utf-16"), 1, "it is UTF-16"),
        (b"path: a\x00b\n", 1, "the character 0x0 has no place in a text"),
        ("path: [a\ntext: b\n", 2, "expected ',' or ']'"),
        ("text: b\npath: 'a\n", 2, "end of stream"),
        ("path: a: b\n", 1, "mapping values are not allowed here; quote a text that holds a colon"),
        ("path: a\n  text: b\n", 2, "mapping values are not allowed here"),
        ("path: *a\n", 1, "undefined alias 'a'"),
        ("path: &a [*a]\n", 1, "it holds itself"),
        ("path: !!python/object:os.system x\n", 1, "could not determine a constructor"),
        ("path: a\n---\npath: b\n", 2, "found another document"),
        ("path: " + "[" * 3000 + "\n", 1, "nested too deep"),
        ("? [a]\n: b\n", 1, "a key has to be a text"),
        ("- a\n- b\n", 1, "it is a list; write lines of KEY: VALUE"),
        ("hello\n", 1, "it is one value; write lines of KEY: VALUE"),
        ("path: a\ntext: ${b\n", 2, "'${b' can't be read"),
        ("defaults: x\n", 1, "defaults is no list"),
        ("defaults:\n  - a: 1\n    b: 2\n", 2, "an item of defaults has 2 keys"),
        ("defaults:\n  - [a]\n", 2, "an item of defaults can't be read"),
        ("# @package\npath: a\n", 1, "write # @package NAME"),
        ("# @package a b\npath: a\n", 1, "Too many components"),
        ("# @packag _global_\npath: a\n", 1, "# @packag is unknown"),
        ("# @package behaviour\npath: a\n", 1, "its keys would stand below 'behaviour'"),
        ("# @package _global_\nbehavior: 3\n", 2, "behavior is a group of keys"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    tmp_path: Path, content: str | bytes, line: int, told: str
) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, content)
    assert f"b.yaml', line {line}: " in str(error.value)
    assert told in str(error.value)


def test_a_file_that_stands_at_the_root_has_to_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1: its keys would stand below 'experiment'.* # @package _global_"):
        load(tmp_path, "alpha: 3\n", "experiment/e")


def test_a_mark_of_utf8_is_no_mistake(tmp_path: Path) -> None:
    assert load(tmp_path, "path: a\n".encode("utf-8-sig")) == {"path": "a"}


def test_texts_stay_as_they_are_written_and_numbers_numbers(tmp_path: Path) -> None:
    written = "name: 007\npath: 2024\ntext: 1_5\nlabel: 3\navoid: [off, yes, 1, 1e3, true]\nlimit: null\n"
    assert load(tmp_path, written + "max_length: 50\nlabels: {on: [no, 1:30]}\nchat: yes\n") == {
        **{"name": "007", "path": "2024", "text": "1_5", "label": 3, "max_length": 50, "limit": None, "chat": True},
        **{"avoid": ["off", "yes", 1, "1e3", True], "labels": {"on": ["no", "1:30"]}},
    }
    assert load(tmp_path, "sweep: 0x10\nmodel: {revision: 1234567}\nalpha: 3\n", "root") == {
        **{"sweep": "0x10", "model": {"revision": "1234567"}, "alpha": 3}
    }


def test_texts_of_a_target_stay_as_they_are_written(tmp_path: Path) -> None:
    measured = "_target_: evaluation.perplexity.Perplexity\n    texts: {a: 007}\n    window: 64\n    half: report\n"
    found = load(tmp_path, f"measurements:\n  one:\n    {measured}", "evaluation/e")
    assert found["measurements"]["one"]["texts"] == {"a": "007"}
    assert found["measurements"]["one"]["window"] == 64


def test_where_a_key_was_set_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(tmp_path, "# @package _global_\n\nbehavior:\n  text: x\n")
    assert place_of("behavior.text") == "'behavior/b.yaml', line 4"


NAMES = st.sampled_from(["path", "text", "name", "separator", "labels", "avoid"])
VALUES = st.sampled_from(["a.csv", "007", "off", "'it''s'", "[1, b]", "{a: [1]}", "null", '"x"', "# no", "1e3"])
SOUND = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)
BREAKS = st.text("\t\r\n'\"[]{}:,&*!|>%@`#-? \x00\x85${}aé~=<", min_size=1, max_size=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sound=SOUND, broken=BREAKS, where=st.floats(0, 1), encoding=st.sampled_from(["utf-8", "utf-8", "latin-1"]))
def test_a_file_broken_anywhere_is_read_or_refused_by_name(
    tmp_path: Path, sound: dict[str, str], broken: str, where: float, encoding: str
) -> None:
    content = "".join(f"{key}: {value}\n" for key, value in sound.items())
    place = int(where * len(content))
    try:
        found = load(tmp_path, (content[:place] + broken + content[place:]).encode(encoding))
    except InputError as error:
        assert "b.yaml'" in str(error) and "\n" not in str(error)
    else:
        assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path: texts.csv\ntxt: body\n", "unknown key 'behavior.txt'; did you mean 'behavior.text'? ({}, line 2)"),
        ("path: texts.csv\nmax_length: many\n", "behavior.max_length=many is not possible: it is a whole number"),
        ("path: ${nope.x}\n", "behavior.path: Interpolation key 'nope.x' not found ({}, line 1)"),
        ("path: ${behavior.path}\n", "behavior.path: Recursive interpolation detected ({}, line 1)"),
        ("path: ${nosuch:1}\n", "behavior.path: Unsupported interpolation type nosuch ({}, line 1)"),
        ("name: x\ndefaults:\n  - nothere\n", "{}, line 3: Could not load 'behavior/nothere'"),
        ("defaults:\n  - override /evaluation: own\n", "{}, line 2: Could not override 'evaluation"),
        ("defaults: [_self_, _self_]\n", "{}, line 1: Duplicate _self_ defined"),
    ],
)
def test_what_only_the_composition_shows_is_told_with_the_file(
    surgery, world, tmp_path, content: str, told: str
) -> None:
    (tmp_path / "mine" / "behavior").mkdir(parents=True)
    (tmp_path / "mine" / "behavior" / "b.yaml").write_text(content)
    refused = surgery("--config-dir", "mine", "behavior=b", f"model.path={world.model}", "tracking=none")
    assert refused.code == 1
    assert told.format("'mine/behavior/b.yaml'") in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_config_dir_that_is_not_there_is_refused(surgery) -> None:
    refused = surgery("--config-dir", "nowhere", "behavior=b")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("surgery: --config-dir 'nowhere' is no folder")
