"""Warnings are told in a sentence: ours without a line of Python, torch's without the stack of its C++ functions."""

import warnings

import pytest
import torch

from surgery.errors import SurgeryWarning
from surgery.probe import probe_fitting
from sweeps.terminal.library_output import quiet_libraries

FRAMES = """mkldnn_matmul failed, switching to BLAS gemm:could not create a memory object
Exception raised from matmul at /pytorch/aten/src/ATen/native/mkldnn/Matmul.cpp:1 (most recent call first):
frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x80 (0x7f0000000000 in libc10.so)
frame #1: <unknown function> + 0x1 (0x7f0000000001 in libtorch_cpu.so)
"""


def test_a_warning_of_torch_ends_before_its_frames(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    quiet_libraries()
    shown = warnings.formatwarning(UserWarning(FRAMES), UserWarning, "somewhere.py", 3)
    assert "switching to BLAS gemm:could not create a memory object" in shown
    assert "frame #" not in shown
    assert "Exception raised" not in shown
    other = warnings.formatwarning(UserWarning("two\nlines"), UserWarning, "somewhere.py", 3)
    assert "two\nlines" in other


def test_a_warning_of_ours_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(probe_fitting, "STEPS", 2)
    quiet_libraries()
    states = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    with pytest.warns(SurgeryWarning) as told:
        probe_fitting.fit_probe(states, torch.arange(40) % 2, "logistic")
    one = told[0]
    shown = warnings.formatwarning(one.message, one.category, one.filename, one.lineno)
    assert shown == "the logistic probe stopped after 2 steps, before its optimum; its accuracy is in the record\n"
