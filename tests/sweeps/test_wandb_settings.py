"""Who switches W&B off is heeded, and what W&B would choke on later is one line before the first cell."""

import json
import os
from pathlib import Path

import pytest
import wandb
from hypothesis import assume, example, given
from hypothesis import strategies as st

from surgery import InputError
from sweeps.config.wandb_key import has_key, without_key
from sweeps.config.wandb_names import require_entity, require_project
from sweeps.config.wandb_settings import MODES, NO, YES, chosen_mode, settled, wandb_mode
from sweeps.tracking.wandb_run import open_run

KEY = "k" * 40


def spelled(words: list[str] | tuple[str, ...]) -> st.SearchStrategy[str]:
    """Words in any case, with space around them."""
    cased = st.sampled_from(words).flatmap(lambda word: st.tuples(*(st.sampled_from((c, c.upper())) for c in word)))
    space = st.sampled_from(("", " ", "\t"))
    return st.tuples(space, cased.map("".join), space).map("".join)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no settings and no variables of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@given(spelled(tuple(MODES)), st.sampled_from(("WANDB_MODE", "file", "asked")))
def test_a_mode_means_the_same_in_every_spelling_and_place(spelling: str, place: str) -> None:
    environment = {"WANDB_MODE": spelling} if place == "WANDB_MODE" else {}
    filed = {"mode": spelling} if place == "file" else {}
    meant = MODES[spelling.strip().lower()]
    found = chosen_mode(spelling if place == "asked" else "auto", environment, filed)
    assert found == (None if (place, meant) == ("file", "online") else meant)


@given(
    spelled(("auto", "disabled")), spelled((*MODES, "")), spelled((*YES, *NO)), spelled((*MODES, "")), st.integers(0, 2)
)
def test_off_in_one_place_is_off(asked: str, mode: str, disabled: str, filed: str, place: int) -> None:
    environment = {"WANDB_MODE": mode, "WANDB_DISABLED": disabled}
    environment |= ({"WANDB_DISABLED": "true"}, {"WANDB_MODE": "disabled"}, {})[place]
    assume(place != 2 or not mode.strip() or disabled.strip().lower() in YES)
    assert chosen_mode(asked, environment, {"mode": "disabled" if place == 2 else filed}) == "disabled"


@given(st.sampled_from(("online", "offline", "run", "shared", "dryrun")), st.integers(0, 2))
def test_a_mode_that_is_asked_for_where_w_and_b_is_off_is_a_contradiction(asked: str, place: int) -> None:
    environment = ({"WANDB_DISABLED": "1"}, {"WANDB_MODE": "Disabled"}, {})[place]
    with pytest.raises(InputError, match="switches W&B off"):
        chosen_mode(asked, environment, {"mode": "disabled"} if place == 2 else {})


@given(st.text(min_size=1), st.sampled_from(("WANDB_MODE", "WANDB_DISABLED", "file", "asked")))
def test_an_unknown_word_is_refused_with_those_there_are(word: str, place: str) -> None:
    assume(word.strip().lower() not in (*MODES, *YES, *NO, "auto"))
    environment = {place: word} if place.startswith("WANDB") else {}
    with pytest.raises(InputError) as refused:
        chosen_mode(word if place == "asked" else "auto", environment, {"mode": word} if place == "file" else {})
    for mode in () if place == "WANDB_DISABLED" else MODES:
        assert mode in str(refused.value)


def said_of(key: str) -> str:
    """Why a key is refused, without this folder's name; empty where it is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", key)
        try:
            assert has_key()
        except InputError as error:
            return str(error).replace(str(os.getcwd()), "")
    return ""


@given(st.text(alphabet=st.characters(codec="ascii", min_codepoint=33), min_size=6, max_size=80))
@example("offlin")
def test_a_key_that_w_and_b_would_refuse_is_refused_and_never_told(key: str) -> None:
    try:
        with pytest.MonkeyPatch.context() as quiet:
            quiet.setattr("wandb.termlog", lambda *_, **__: None)
            wandb.sdk.lib.wbauth.AuthApiKey(host="https://api.wandb.ai", api_key=key)
        taken = True
    except wandb.Error:
        taken = False
    said = said_of(key)
    assert taken or said
    # Some keys are words of the sentence, which is then the same for another key of that length.
    assert key not in said or said == said_of("~" * len(key))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"machine api.wandb.ai login user password {KEY}", None),
        (f"default login user password {KEY}", None),
        (f"machine elsewhere.org login user password {KEY}", "no key is configured"),
        ("machine api.wandb.ai login user password short", "has 5 characters"),
        (f"machine api.wandb.ai login user passwrd {KEY}", "can't be read"),
        (f"machine api.wandb.ai login user password {KEY} {KEY[:-1]}x", "can't be read"),
        ("\udcff\udcfe", "can't be read"),
    ],
)
def test_keys_in_netrc_are_found_and_a_broken_one_is_told_without_its_words(text, said, tmp_path) -> None:
    (tmp_path / "netrc").write_bytes(text.encode("utf-8", "surrogateescape"))
    if said is None:
        assert wandb_mode("auto") == "online"
        assert without_key(f"a {KEY} b") == "a *** b"
        return
    with pytest.raises(InputError, match=said) as refused:
        wandb_mode("online")
    assert KEY[:-1] not in str(refused.value)
    assert wandb_mode("offline") == "offline"


@given(st.text(max_size=140))
def test_a_project_that_is_let_through_is_one_that_w_and_b_takes(name: str) -> None:
    try:
        require_project(name, "tracking.project")
    except InputError as error:
        assert "tracking.project=" in str(error)
        assert len(str(error)) < 1_000
        return
    assert wandb.Settings(project=name).project == name


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a#b", "a?b", "a%b", "a:b", "", " ", "a ", "a\nb", "p" * 129])
def test_what_w_and_b_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="can't name a project"):
        require_project(name, "tracking.project")
    with pytest.raises(InputError, match="can't name a user or team"):
        require_entity(name, "tracking.entity")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WANDB_MODE", mode) for mode in ("disabled", "Disabled", " DISABLED ")),
        *(("WANDB_DISABLED", word) for word in ("true", "1", "YES")),
        ("settings", "mode = disabled"),
        ("asked", "disabled"),
    ],
)
def test_switched_off_nothing_is_written_and_nothing_sent(name, value, tmp_path, monkeypatch) -> None:
    tracking = {"kind": "wandb", "mode": value if name == "asked" else "auto", "project": "p"}
    if name == "settings":
        (tmp_path / "wandb").mkdir()
        (tmp_path / "wandb/settings").write_text(f"[default]\n{value}\n")
    elif name != "asked":
        monkeypatch.setenv(name, value)
    assert settled(tracking)["kind"] == "none"


def test_a_run_leaves_no_folder_and_sync_sends_nothing(surgery, sweeps, arguments, results, account, tmp_path) -> None:
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        ran = surgery(*tracked, "sweep=off")
        assert (ran.code, len(results())) == (0, 1), ran.err
        assert not (tmp_path / "outputs/wandb").exists()
        assert not list(tmp_path.glob("outputs/**/wandb.json"))
        ran = sweeps("sync", "off")
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        assert "switched off" in ran.err
    assert account.runs == {}


@pytest.mark.parametrize(
    ("variables", "settings", "said"),
    [
        ({"WANDB_MODE": "off"}, [], "WANDB_MODE=off is unknown; it is one of online, run, shared, offline"),
        ({"WANDB_API_KEY": "secret"}, [], "the key in WANDB_API_KEY is malformed: it has 6 characters"),
        ({"WANDB_API_KEY": KEY + "\n"}, [], "the key in WANDB_API_KEY is malformed"),
        ({"WANDB_IDENTITY_TOKEN_FILE": "nowhere"}, [], "WANDB_IDENTITY_TOKEN_FILE=nowhere is no file"),
        ({"WANDB_BASE_URL": "nothing"}, [], "WANDB_BASE_URL=nothing is no address"),
        ({"WANDB_CONSOLE": "loud"}, [], "W&B can't read WANDB_CONSOLE"),
        ({"WANDB_PROJECT": "a/b"}, [], "WANDB_PROJECT='a/b' can't name a project"),
        ({}, ["tracking.project=a/b"], "tracking.project='a/b' can't name a project in W&B: it holds '/'"),
        ({}, [f"tracking.project={'p' * 200}"], "it has 200 characters"),
        ({}, ["tracking.entity='a b'"], "tracking.entity='a b' can't name a user or team"),
        ({}, ["tracking.mode=on"], "tracking.mode=on is unknown; it is one of auto, online"),
        ({}, [f"+tracking.api_key={KEY}"], "tracking.api_key is unknown"),
        ({"WANDB_MODE": "disabled"}, ["tracking.mode=online"], "but WANDB_MODE=disabled switches W&B off"),
    ],
)
def test_what_is_malformed_is_one_line_before_any_cell(
    variables, settings, said, surgery, arguments, monkeypatch, tmp_path
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    ran = surgery(*tracked, *settings)
    assert ran.code == 1
    assert ran.err.startswith("surgery: ")
    assert said in ran.err
    assert (ran.err.count("\n"), ran.out) == (1, "")
    assert "secret" not in ran.err
    assert KEY not in ran.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("text", ["mode = disabled", "[default\nmode", "[default]\nmode = %(nowhere)s", "\udcff"])
def test_a_damaged_settings_file_is_named(text, tmp_path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/settings").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"config/settings' can't be read"):
        settled({"kind": "wandb", "mode": "auto"})


def test_w_and_b_gets_the_mode_in_its_own_spelling_and_no_one_run_for_all_cells(tmp_path, monkeypatch) -> None:
    for name, value in {"WANDB_MODE": "OffLine", "WANDB_API_KEY": f" {KEY} ", "WANDB_RUN_ID": "mine"}.items():
        monkeypatch.setenv(name, value)
    for name, folder in (("WANDB_CACHE_DIR", "cache"), ("WANDB_DATA_DIR", "data")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    wandb.teardown()
    run = open_run({}, tmp_path / "outputs", mode="offline", group="g", name="n", config={})
    run.finish()
    wandb.teardown()
    assert run.id != "mine"
    assert os.environ["WANDB_MODE"] == "OffLine"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_server_that_does_not_answer_costs_no_cell_two_minutes(surgery, arguments, results, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    ran = surgery(*tracked, "tracking.mode=online")
    assert (ran.code, results()) == (1, {})
    assert "127.0.0.1:9 can't be reached" in ran.err
    ran = surgery(*tracked, "sweep=away")
    assert ran.code == 0
    assert "logged offline, and `sweeps sync away` sends them" in " ".join(ran.err.split())
    assert "tracking failed" not in ran.err
    assert KEY not in ran.err + json.dumps(results())
