"""What tells a cell from the others of its sweep."""

from sweeps.records.told_keys import TellingKeys


def test_of_several_methods_each_is_told_by_its_own_keys() -> None:
    surgery = [{"layer": 9, "top_k": k, "alpha": 1.5, "method": "surgery", "unit": "unit"} for k in (48, 128)]
    lora = [{"layer": 30, "alpha": alpha, "method": "lora", "method.rank": 16} for alpha in (0.5, 1.0)]
    alone = [{"layer": 30, "method": "system_prompt"}]
    telling = TellingKeys([*surgery, *lora, *alone])
    assert [telling.of(keys) for keys in (surgery[0], lora[1], alone[0])] == [
        "method=surgery top_k=48 alpha=1.5",
        "method=lora alpha=1.0",
        "method=system_prompt",
    ]


def test_of_one_method_it_is_what_was_swept() -> None:
    cells = [{"alpha": 2.0, "seed": seed, "method": "surgery", "layer": 9} for seed in (0, 1)]
    assert TellingKeys(cells).of(cells[1]) == "alpha=2.0 seed=1"
