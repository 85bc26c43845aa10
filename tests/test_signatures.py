"""What the bindings derive from the contract: what a call writes, and what a program keeps alive."""

import gc
import re
from pathlib import Path

import numpy as np
import pytest
from checks import tensor

from pyconv import _core

CSRC = Path(__file__).resolve().parent.parent / "csrc"


def test_names_are_those_of_the_contract():
    """entries.h says the parameters' names anew: those that kernels.h gives are the same."""
    text = re.sub(r"//[^\n]*", "", (CSRC / "kernels.h").read_text())
    listed = dict(re.findall(r"  ENTRY\((\w+), (.*)\)", (CSRC / "entries.h").read_text()))
    declared = re.findall(r"\(\*(\w+)\)\(const Context&,?([^)]*)\)", text)
    assert {name for name, _ in declared} == listed.keys()
    for op, parameters in declared:
        names = [name.split(" = ")[0] for name in listed[op].split(", ")]
        stated = [
            p.split()[-1] if " " in re.sub(r"^const ", "", p.strip()) else None for p in parameters.split(",")
        ]
        assert len(stated) == len(names), op
        for name, said in zip(names, stated, strict=True):
            assert said in (None, name), op


def test_what_calls_write():
    assert _core.OUTPUTS["relu"] == {"y": "x"}
    assert _core.OUTPUTS["batch_norm_backward"] == {"dx": "dy", "dgamma": None, "dbeta": None}
    assert set(_core.OUTPUTS["conv2d_fused"]) == {"y", "epilogue.pooled", "epilogue.argmax"} | {
        f"epilogue.statistics.{name}"
        for name in ("running_mean", "running_variance", "mean", "rstd", "scale", "shift")
    }


def test_every_op_is_bound():
    assert all(hasattr(_core, op) for op in _core.OUTPUTS)


def test_a_program_keeps_all_tensors_alive():
    """Those of a struct's pointers, too: memory that is freed is given to others."""
    gc.collect()
    before = _core.memory_statistics()["allocated_bytes"]
    n, new = 50_000, _core.zeros
    program = _core.Program()
    with program:
        normalization = {"scale": new((n,)), "shift": new((n,)), "relu": True}
        y = _core.normalize(new((1, n)), normalization)
    del normalization, y
    gc.collect()
    assert _core.memory_statistics()["allocated_bytes"] - before >= 4 * 4 * n
    program.run()


def test_groups_are_checked():
    x = tensor(np.zeros((2, 3), np.float32))
    v = tensor(np.zeros(3, np.float32))
    with pytest.raises(
        TypeError, match=r"^\[normalize\] normalization is 5, expected a dict of scale, shift, relu"
    ):
        _core.normalize(x, 5)
    with pytest.raises(
        ValueError, match=r"^\[normalize\] normalization has the key 'scael', expected some of scale"
    ):
        _core.normalize(x, {"scael": v})
    with pytest.raises(TypeError, match=r"^\[normalize\] scale is 'v', expected a Tensor or None"):
        _core.normalize(x, {"scale": "v", "shift": v})
    with pytest.raises(TypeError, match=r"^\[normalize\] scale has dtype int32, expected float32"):
        _core.normalize(x, {"scale": _core.zeros((3,), "int32"), "shift": v})
    reduction = {"M": 2, "x": x, "mean": v, "rstd": v, "coefficients": _core.zeros((3, 3)).as_read_only()}
    with pytest.raises(ValueError, match=r"^\[batch_norm_reduce\] coefficients is read-only"):
        _core.batch_norm_reduce(x, reduction=reduction)
    with pytest.raises(TypeError, match=r"^\[batch_norm_reduce\] M is None, expected an integer"):
        _core.batch_norm_reduce(x, reduction={**reduction, "M": None})
