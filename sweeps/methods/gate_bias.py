"""The paper's edit as the bias that it amounts to on average.

Equation 3 of Wang et al. 2025 adds α·W_n to a gate row, so its pre-activation grows by α·(W_n·x) at a token whose MLP
reads x. Here it grows by the mean of that, α·(W_n·x̄), at every token: x̄ is what the gate reads on average over the
behavior's training texts of both classes. What surgery does beyond this bias is what its dependence on x is worth.
"""

from surgery.activity.gate_inputs import GateInputs, mean_gate_inputs
from surgery.edits.biased_gates import GateBias
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.trained_change import trained, training_texts
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> GateBias:
    """The bias on the gates of the region."""
    assert region is not None, "it needs a region"
    settings = work.cell.settings

    def read() -> GateInputs:
        texts = [text for label in (0, 1) for text in training_texts(work, label)]
        behavior = settings.behavior
        return mean_gate_inputs(
            *work.loaded, texts, max_length=behavior.max_length, chat=behavior.chat, progress=work.bench.progress
        )

    means = work.take(trained(work, GateInputs, read)).means
    return GateBias(probe.direction(1), settings.alpha, region, means, settings.alpha_unit)
