"""Contrastive activation addition at several layers, each along its own direction.

Rimsky et al. 2024, "Steering Llama 2 via Contrastive Activation Addition": v_ℓ is the mean difference of the hidden
states after block ℓ between texts with the behavior and texts without it, and a multiple of it is added there while the
model runs. They add at one layer to the tokens after the prompt, and take states at the token of a pair's answer. Here
it is every layer of `method.layers`, h_ℓ ← h_ℓ − α·v_ℓ, and every token; states are means over tokens, as everywhere in
this project, and v_ℓ is half the difference, the probe's direction. `method=activation_addition` is that at one layer.
"""

from surgery.edits.steering import LayeredSteering
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.probe_stage import layer_probes
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LayeredSteering:
    """The steering of `method.layers`, by the probe of each."""
    cell, settings = work.cell, work.cell.settings
    directions = {layer: one.direction(1) for layer, one in layer_probes(work).items()}
    return LayeredSteering(directions, settings.alpha, cell.subject_fingerprint, settings.alpha_unit)
