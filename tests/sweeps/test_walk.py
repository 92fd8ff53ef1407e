"""What one cell loads on its walk from hidden states to its record."""

from collections import Counter
from pathlib import Path

import pytest

from sweeps.run.stage import Stage


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often an entry of the store is read by what loads it, `stage/key` → times."""
    from sweeps.store.store import Store

    counts: Counter[str] = Counter()
    use = Store.use

    def counted(self, stage, identity, make, load):
        def counting(folder: Path):
            counts[self.name(stage, identity)] += 1
            return load(folder)

        return use(self, stage, identity, make, counting)

    monkeypatch.setattr(Store, "use", counted)
    return counts


def of_stage(loads: Counter[str]) -> Counter[str]:
    return Counter(name.split("/")[0] for name in loads.elements())


METHODS = ("surgery", "activation_addition", "directional_ablation", "gradient_ascent", "lora", "task_vector")


@pytest.mark.parametrize("method", METHODS)
def test_each_stage_is_loaded_once_a_cell(surgery, arguments, loads, method: str) -> None:
    more = ["method.epochs=1"] if method in METHODS[3:] else []
    assert surgery(*arguments, f"method={method}", *more).code == 0
    assert set(loads.values()) == {1}
    # Of base and edited there are two each: an evaluator and the probe's loss.
    expected = {"hidden_states": 1, "probe": 1, "base": 2, "edited": 2}
    expected |= {"ranking": 1} if method == "surgery" else {}
    assert of_stage(loads) == expected | ({"trained": 1} if more else {})


def test_a_random_probe_and_the_one_it_replaces_are_loaded_once(surgery, arguments, loads) -> None:
    assert surgery(*arguments, "probe=random").code == 0
    assert set(loads.values()) == {1}
    assert of_stage(loads) == {"hidden_states": 1, "probe": 2, "ranking": 1, "base": 2, "edited": 2}


def test_a_probe_that_is_there_needs_no_hidden_states(surgery, arguments, loads) -> None:
    assert surgery(*arguments).code == 0
    loads.clear()
    assert surgery(*arguments, "alpha=2").code == 0
    assert of_stage(loads) == {"probe": 1, "ranking": 1, "base": 2, "edited": 2}


def test_the_ranking_stays_in_memory_for_the_cells_of_a_grid(surgery, arguments, loads) -> None:
    assert surgery(*arguments, "-m", "alpha=1,2", "top_k=4,8").code == 0
    assert of_stage(loads) == {"hidden_states": 1, "probe": 4, "ranking": 1, "base": 8, "edited": 8}


def test_a_stage_that_stays_is_taken_from_memory_only_for_the_same_identity(tmp_path) -> None:
    from sweeps.run.workbench import Workbench
    from sweeps.store.store import Store

    made: list[int] = []

    def stage(number: int) -> Stage[str]:
        def make(folder: Path) -> None:
            made.append(number)
            (folder / "text").write_text(str(number))

        return Stage("s", {"n": number}, make, lambda folder: (folder / "text").read_text(), stays=True)

    bench = Workbench(Store(tmp_path), [])
    assert [bench.take(stage(number)) for number in (1, 1, 2, 1)] == ["1", "1", "2", "1"]
    assert made == [1, 2]
