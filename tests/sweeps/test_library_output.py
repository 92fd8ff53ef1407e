"""What torch warns of is told without the stack of its C++ functions."""

import warnings

import pytest

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
