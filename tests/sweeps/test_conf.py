"""Every option of every group composes and makes what it names."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

import conf
from sweeps.config import resolvers
from sweeps.config.read_settings import plain, read_settings

ROOT = Path(conf.__file__).parent
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}" for path in ROOT.glob("*/*.yaml") if path.parent.name != "experiment"
)
NEEDED = {
    "model=local": ["model.path=somewhere"],
    "behavior=tabular": ["behavior.path=a.csv"],
    "probe=file": ["probe.path=p"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_to_valid_settings(option: str) -> None:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", [option, *NEEDED.get(option, [])])
    settings = read_settings(plain(config))
    assert settings.model.path
    assert settings.behavior.path


def test_defaults_are_those_of_the_contract() -> None:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", ["model=local", "model.path=x", "behavior=tabular", "behavior.path=a.csv"])
    values = plain(config)
    settings = read_settings(values)
    assert (settings.layer, settings.seed, settings.method.name) == ("last", 0, "surgery")
    assert (settings.probe.method, settings.probe.lr, settings.probe.epochs) == ("adam", 1e-4, 9)
    assert (settings.probe.batch_size, settings.probe.test_share) == (16, 0.1)
    assert (settings.region.rule, settings.region.component) == ("lowest", "gate_proj")
    assert (settings.behavior.avoid, settings.behavior.max_length) == ([1], 100)
    assert (values["output_dir"], values["sweep"], values["tracking"]["kind"]) == ("outputs", "x-a", "wandb")


@pytest.mark.parametrize(
    ("behavior", "limit"),
    [
        # Fewer texts make another probe, and the toy world's effect goes with it.
        *((option.partition("=")[2], None) for option in OPTIONS if option.startswith("behavior=toyworld")),
        ("detoxify", 400),
        ("tabular", 400),
    ],
)
def test_quick_limits_texts_but_not_those_that_the_toy_worlds_effect_hangs_on(behavior: str, limit: int | None) -> None:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", ["quick=true", f"behavior={behavior}", *NEEDED.get(f"behavior={behavior}", [])])
    assert read_settings(plain(config)).behavior.limit == limit
    assert plain(config)["evaluation"]["limit"] == 40


def test_a_path_alone_chooses_the_group_it_belongs_to() -> None:
    from sweeps.config.command_line import completed

    assert completed(["model.path=x"]) == ["model.path=x", "model=local"]
    assert completed(["model=toyworld", "model.path=x"]) == ["model=toyworld", "model.path=x"]
    assert completed(["behavior.path=x", "probe.path=y"])[2:] == ["behavior=tabular", "probe=file"]
    assert completed(["a=1", "-m", "b=2"]) == ["-m", "a=1", "b=2"]
    assert completed(["behavior.separator=,"]) == ["behavior.separator=','"]


def test_a_users_own_yaml_is_found_with_config_dir(surgery, arguments, tmp_path, world) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "pocket.yaml").write_text(f"name: pocket\npath: {world.model}\ntop_k: 7\n")
    others = [argument for argument in arguments if not argument.startswith(("model", "evaluation"))]
    ran = surgery("--config-dir", "mine", "model=pocket", *others)
    assert ran.code == 0, ran.err
    assert "7 of 160 rows" in ran.out
    assert (tmp_path / "outputs" / "runs" / "pocket-texts").is_dir()


@pytest.mark.parametrize("chosen", [["evaluation=toyworld"], ["evaluation=own", "evaluation.prompts=p.txt"]])
def test_the_halves_of_the_prompts_are_the_same_for_every_seed(chosen: list[str]) -> None:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        measured = [plain(compose("config", [*chosen, f"seed={seed}"]))["evaluation"] for seed in (0, 7)]
    assert measured[0] == measured[1]
