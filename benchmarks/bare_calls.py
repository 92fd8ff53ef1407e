"""The calls of the models that a cell makes, recorded and made again without anything around them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Times:
    """Of a cell and of the bare calls after it: seconds, and seconds that the processor's cores worked."""

    cell: float
    cell_worked: float
    bare: float = float("nan")
    bare_worked: float = float("nan")


def calls_of_a_cell(plan: Any, executor: Any) -> list[Callable[[], Any]]:
    """The outermost calls of models that measuring the first cell of a plan makes, unedited."""
    from sweeps.run.measurements import probe_losses
    from sweeps.run.probe_stage import behavior_probe
    from sweeps.run.states_stage import hidden_states
    from sweeps.run.workbench import CellWork

    work = CellWork(executor._runner._bench, plan.experiments[0])
    probe = behavior_probe(work, hidden_states(work))
    with recorded_calls() as calls:
        for evaluator in work.experiment.evaluators.values():
            evaluator.measure(*work.loaded)
        probe_losses(work, probe)
    return list(calls)


def run_all(calls: list[Callable[[], Any]]) -> None:
    """Makes recorded calls again."""
    for call in calls:
        call()


@contextmanager
def recorded_calls() -> Iterator[list[Callable[[], Any]]]:
    """Collects the outermost calls of models, as functions that make them again."""
    import torch
    from transformers import GenerationMixin

    from evaluation import position_logits

    calls: list[Callable[[], Any]] = []
    inside = 0
    plain_logits = position_logits.position_logits

    def logits(*args: Any) -> Iterator[Any]:
        """Logits in pieces are one call, whatever passes they take."""
        nonlocal inside
        calls.append(lambda: [None for _ in plain_logits(*args)])
        pieces = plain_logits(*args)
        while True:
            inside += 1
            try:
                piece = next(pieces)
            except StopIteration:
                return
            finally:
                inside -= 1
            yield piece

    plain_call, plain_generate = torch.nn.Module.__call__, GenerationMixin.generate

    def recorder(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            settings = getattr(self, "generation_config", None)
            if not inside:
                calls.append(lambda: again(original, self, args, kwargs, settings))
            inside += 1
            try:
                return original(self, *args, **kwargs)
            finally:
                inside -= 1

        return call

    torch.nn.Module.__call__, GenerationMixin.generate = recorder(plain_call), recorder(plain_generate)
    # Whoever has the function by its name.
    modules: list[Any] = [
        module
        for name, module in sys.modules.items()
        if name.startswith("evaluation.") and getattr(module, "position_logits", None) is plain_logits
    ]
    for module in modules:
        module.position_logits = logits
    try:
        yield calls
    finally:
        for module in modules:
            module.position_logits = plain_logits
        torch.nn.Module.__call__, GenerationMixin.generate = plain_call, plain_generate


def again(original: Callable[..., Any], model: Any, args: Any, kwargs: Any, settings: Any) -> Any:
    """Makes a call again with the generation settings that the model had then."""
    if settings is None:
        return original(model, *args, **kwargs)
    now, model.generation_config = model.generation_config, settings
    try:
        return original(model, *args, **kwargs)
    finally:
        model.generation_config = now
