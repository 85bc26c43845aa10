import gc

import numpy as np
import pytest
from checks import normal, tensor

from pyconv import _core, ops


def test_calls_are_recorded_and_run_later(backend, rng):
    x = tensor(normal(rng, 4, 5))
    y = tensor(np.zeros((4, 5), np.float32))
    program = _core.Program()
    with program:
        _core.relu(x, y=y)
        _core.add(x, y, y=y)
    assert (len(program), program.ops) == (2, ["relu", "add"])
    assert (y.numpy() == 0).all()
    program.run()
    expected = x.numpy() + np.maximum(x.numpy(), 0)
    np.testing.assert_array_equal(y.numpy(), expected)


def test_a_program_reads_its_inputs_anew(rng):
    x = tensor(normal(rng, 100))
    program = _core.Program()
    with program:
        y = _core.relu(x)
    for _ in range(3):
        x.numpy()[:] = normal(rng, 100)
        program.run()
        np.testing.assert_array_equal(y.numpy(), np.maximum(x.numpy(), 0))


def test_ranges(rng):
    outputs = [tensor(np.zeros(3, np.float32)) for _ in range(4)]
    ones = tensor(np.ones(3, np.float32))
    program = _core.Program()
    with program:
        for y in outputs:
            _core.add(y, ones, y=y)
    program.run(1, 3)
    program.run(end=1)
    program.run(begin=2)
    program.run(2, 2)
    assert [y.numpy()[0] for y in outputs] == [1, 1, 2, 1]
    for begin, end in ((3, 2), (0, 5), (5, 5)):
        with pytest.raises(IndexError, match=rf"^\[Program.run\] calls {begin} to {end} of a program of 4"):
            program.run(begin, end)


def test_time_runs_all_and_gives_seconds(rng):
    x = tensor(normal(rng, 100))
    program = _core.Program()
    with program:
        y = _core.relu(x)
        _core.add(x, y, y=y)
    seconds = program.time()
    assert len(seconds) == 2
    assert all(s >= 0 for s in seconds)
    np.testing.assert_array_equal(y.numpy(), x.numpy() + np.maximum(x.numpy(), 0))


def test_it_keeps_memory_alive(rng):
    x, weight, bias = normal(rng, 2, 9, 9, 5), normal(rng, 3, 3, 5, 17), normal(rng, 17)
    program = _core.Program()
    with program:
        y = _core.conv2d(tensor(x), tensor(weight), tensor(bias), padding=1)
    expected = ops.conv2d(x, weight, bias, padding=1)
    del x, weight, bias
    gc.collect()
    others = [_core.empty(shape) for shape in ((2, 9, 9, 5), (3, 3, 5, 17), (17,)) for _ in range(4)]
    for other in others:
        other.numpy()[...] = np.nan
    program.run()
    np.testing.assert_array_equal(y.numpy(), expected)


def test_calls_share_the_largest_workspace(rng):
    """Convolutions of different sizes, whose packed weights live in the same place one after the other."""
    layers = [(normal(rng, 2, 8, 8, c), normal(rng, 3, 3, c, 33)) for c in (3, 40, 16)]
    program = _core.Program()
    with program:
        results = [_core.conv2d(tensor(x), tensor(weight), padding=1) for x, weight in layers]
    for _ in range(2):
        program.run()
    for (x, weight), y in zip(layers, results, strict=True):
        np.testing.assert_array_equal(y.numpy(), ops.conv2d(x, weight, padding=1))
    assert program.workspace_bytes > 0


def test_the_backend_is_the_one_of_the_recording(backend, rng):
    x, weight = tensor(normal(rng, 2, 9, 9, 5)), tensor(normal(rng, 3, 3, 5, 17))
    program = _core.Program()
    with program:
        y = _core.conv2d(x, weight)
    expected = _core.conv2d(x, weight).numpy()
    _core.select_backend(_core.available_backends()[-1])
    program.run()
    np.testing.assert_array_equal(y.numpy(), expected)


def test_random_ops_draw_anew_each_step():
    x, state = tensor(np.ones(1000, np.float32)), tensor(np.array([1, 0, 0, 0], np.uint32))
    program = _core.Program()
    with program:
        y = _core.dropout(x, state, rate=0.5)
    masks = []
    for step in range(2):
        state.numpy()[3] = step
        program.run()
        masks.append(y.numpy().copy())
        np.testing.assert_array_equal(masks[-1], ops.dropout(x, 0.5, seed=1, step=step).numpy())
    assert (masks[0] != masks[1]).any()


def test_totals_of_their_own_start_at_0_each_run():
    program = _core.Program()
    with program:
        total = _core.sum(tensor(np.ones(10, np.float32)))
    program.run()
    program.run()
    assert total.numpy() == 10


def test_errors_while_recording(rng):
    program = _core.Program()
    with program, pytest.raises(ValueError, match=r"^\[relu\] y has shape"):
        _core.relu(tensor(np.zeros(3, np.float32)), y=_core.empty((4,)))
    assert len(program) == 0
    with program, pytest.raises(RuntimeError, match=r"^\[Program\] another program is recording"):
        _core.Program().__enter__()
    assert _core.relu(tensor(np.float32([-1, 1]))).numpy().tolist() == [0, 1]  # recording has ended


def test_an_empty_program_runs():
    program = _core.Program()
    program.run()
    assert program.time() == []
    assert len(program) == 0
