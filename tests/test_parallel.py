"""Threads: the same bits at any number of them, several callers at once, forked children, the environment."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from op_calls import op_calls, run

from pyconv import _core

# Large enough that every op has several chunks to share out.
CALLS = op_calls(np.random.default_rng(0), N=8, size=24, C=65, K=9000)


def bits(name, **arguments):
    call = CALLS[name]._replace(arguments=CALLS[name].arguments | arguments)
    return [array.tobytes() for array in run(name, call)]


@pytest.mark.parametrize("name", CALLS)
def test_the_same_bits_at_any_number_of_threads(isa, threads, name):
    threads(1)
    alone = bits(name)
    for n in (2, 3):
        threads(n)
        assert bits(name) == alone


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "winograd_f2x2", "winograd_f4x4"])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"])
def test_the_same_bits_from_every_algorithm(isa, threads, name, algorithm):
    threads(1)
    alone = bits(name, algorithm=algorithm)
    for n in (2, 3, 40):  # many threads share output channels too
        threads(n)
        assert bits(name, algorithm=algorithm) == alone


def test_set_num_threads(threads):
    for n in (1, 4, 2):
        threads(n)
        assert _core.num_threads() == n
    for n in (0, -1):
        with pytest.raises(ValueError, match=rf"^\[set_num_threads\] threads is {n}, expected at least 1"):
            threads(n)
    assert _core.num_threads() == 2


def test_several_callers_at_once(threads):
    """Also while the number of threads changes."""
    threads(2)
    expected = {name: bits(name) for name in CALLS}
    failures = []

    def call(order):
        failures.extend(name for name in order for _ in range(2) if bits(name) != expected[name])

    callers = [
        threading.Thread(target=call, args=(np.random.default_rng(i).permutation(list(CALLS)),))
        for i in range(4)
    ]
    for caller in callers:
        caller.start()
    for n in (1, 3, 2):
        threads(n)
    for caller in callers:
        caller.join()
    assert failures == []


def python(script, **environment):
    """Run a script in a new interpreter; return what it printed, stripped."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],  # fork in a process with threads
        env={**os.environ, **environment},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


FORK = """
import os, threading
import numpy as np
from pyconv import _core, ops

_core.set_num_threads(3)
x, weight = np.ones((8, 32, 32, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
expected = ops.conv2d(x, weight)
stop = threading.Event()
def work():
    while not stop.is_set():
        ops.conv2d(x, weight)
others = [threading.Thread(target=work) for _ in range(2)]
for other in others:
    other.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        same = np.array_equal(ops.conv2d(x, weight), expected) and _core.num_threads() == 3
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
stop.set()
for other in others:
    other.join()
assert np.array_equal(ops.conv2d(x, weight), expected)
print("done")
"""


def test_forked_children_compute():
    """Forked while other threads are in the middle of ops, so that any lock may be held."""
    result = python(FORK)
    assert (result.stdout.strip(), result.stderr, result.returncode) == ("done", "", 0)


MEMORY = """
import os, resource, sys
import numpy as np
from pyconv import _core, ops

x, weight, dy = (np.ones(s, np.float32) for s in ((8, 32, 32, 64), (3, 3, 64, 64), (8, 30, 30, 64)))
_core.set_num_threads(1)
expected = ops.conv2d(x, weight)
ends = []
for extra in range(0, 20_000_000, 1_000_000):
    child = os.fork()
    if child == 0:
        _core.set_num_threads({threads})
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))
        end = 0
        try:
            ops.conv2d(x, weight)
            ops.conv2d_backward_input(dy, weight, x.shape)
            ops.conv2d_backward_weight(dy, x, weight.shape)
        except MemoryError:
            end = 1
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        os._exit(end if np.array_equal(ops.conv2d(x, weight), expected) else 2)
    ends.append(os.waitpid(child, 0)[1])
print(sorted(set(ends)))
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_memory_that_runs_out_is_an_exception(threads):
    """On whichever thread; and the pool computes as before when there is memory again."""
    assert python(MEMORY.format(threads=threads)).stdout.strip() == "[0, 256]"


FEWER = """
import os, resource
import numpy as np
from pyconv import _core, ops

x, weight = np.ones((8, 32, 32, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
_core.set_num_threads(1)
expected = ops.conv2d(x, weight)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, resource.RLIM_INFINITY))  # for some stacks
_core.set_num_threads(500)
same = [np.array_equal(ops.conv2d(x, weight), expected) for _ in range(2)]
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(ops.conv2d(x, weight), expected) and _core.num_threads() < 500 else 1)
print(same, 1 <= _core.num_threads() < 500, os.waitpid(child, 0)[1])
"""


def test_threads_that_cannot_be_had():
    result = python(FEWER)
    assert (result.stdout.strip(), result.returncode) == ("[True, True] True 0", 0)
    assert result.stderr.count("of 500 threads could be started (") == 1


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from pyconv import _core, ops

_core.set_num_threads({threads})
x, small = np.ones((1, 700, 700, 16), np.float32), np.ones((8, 32, 32, 16), np.float32)
expected = ops.max_pool2d(small, 2)[0]
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    ops.avg_pool2d(x, 350, stride=1)  # minutes
except KeyboardInterrupt:
    print("interrupted", np.array_equal(ops.max_pool2d(small, 2)[0], expected))
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_long_call_can_be_interrupted(threads):
    assert python(INTERRUPTED.format(threads=threads)).stdout.strip() == "interrupted True"


IN_PLACE = """
import signal
import numpy as np
from pyconv import _core

_core.set_num_threads(2)
total, one = (_core.from_numpy(np.ones(2**23, np.float32)) for _ in range(2))
signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    while True:
        _core.add(total, one, y=total)
except ZeroDivisionError:
    print(np.ptp(total.numpy()))
"""


def test_what_changes_state_is_never_left_half_done():
    assert python(IN_PLACE).stdout.strip() == "0.0"


FORKING_HANDLER = """
import os, signal
import numpy as np
from pyconv import _core, ops

_core.set_num_threads(3)
x = np.ones((4, 160, 160, 32), np.float32)
expected = ops.avg_pool2d(x, 41, stride=1)
children = []
signal.signal(signal.SIGALRM, lambda *_: children.append(os.fork()))
signal.setitimer(signal.ITIMER_REAL, 0.01)
same = np.array_equal(ops.avg_pool2d(x, 41, stride=1), expected)
if children == [0]:
    os._exit(0 if same else 1)
print(same, [os.waitpid(child, 0)[1] for child in children])
"""


def test_a_fork_in_a_signal_handler():
    assert python(FORKING_HANDLER).stdout.strip() in ("True [0]", "True []")


DAEMON = """
import threading, time
import numpy as np
from pyconv import _core, ops

_core.set_num_threads({threads})
x, weight = np.ones((8, 64, 64, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
def work():
    while True:
        ops.conv2d(x, weight)
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_exit_while_a_daemon_thread_computes(threads):
    result = python(DAEMON.format(threads=threads))
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
try:
    script = "import sys; sys.path[:] = {path!r}; import pyconv"
    failed = interpreters.run_string(interpreters.create(), script)
except Exception as error:  # before Python 3.13
    failed = error
print(failed)
import pyconv
print(pyconv.num_threads() > 0)
"""


def test_a_subinterpreter_is_refused():
    result = python(SUBINTERPRETER.format(path=sys.path))
    assert result.returncode == 0, result.stderr
    assert "ImportError" in result.stdout
    assert result.stdout.strip().endswith("True")


THREADS = "from pyconv import _core; print(_core.num_threads())"


def test_threads_from_the_environment():
    assert python(THREADS, PYCONV_NUM_THREADS="3").stdout.strip() == "3"
    allowed = int(python(THREADS, PYCONV_NUM_THREADS="").stdout)
    assert 1 <= allowed <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["many", "0", "-2", "3x", "2.5"])
def test_bad_threads_in_the_environment(text):
    result = python(THREADS, PYCONV_NUM_THREADS=text)
    assert f"PYCONV_NUM_THREADS is '{text}', expected a number of at least 1" in result.stderr
    assert 1 <= int(result.stdout) <= len(os.sched_getaffinity(0))


def test_affinity_is_respected():
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); {THREADS}"
    assert python(one, PYCONV_NUM_THREADS="").stdout.strip() == "1"


WOKEN = """
import os, time
import numpy as np
from pyconv import _core, ops

def allowed():
    return [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]

_core.set_num_threads(3)
x, weight = np.ones((8, 32, 32, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
for _ in range(3):
    ops.conv2d(x, weight)
    time.sleep(0.01)
mine = os.sched_getaffinity(0)
print(sum(not others <= mine for others in allowed()), max(len(mine - others) for others in allowed()) <= 1)
"""


def test_workers_are_woken_on_other_processors_of_ours():
    assert python(WOKEN, OPENBLAS_NUM_THREADS="1").stdout.strip() == "0 True"


BACKEND = "from pyconv import _core; print(_core.backend())"


@pytest.mark.parametrize("name", _core.available_backends())
def test_instruction_set_from_the_environment(name):
    assert python(BACKEND, PYCONV_ISA=name).stdout.strip() == name


def test_the_best_instruction_set_is_the_default():
    assert python(BACKEND, PYCONV_ISA="").stdout.strip() == _core.available_backends()[0]
    assert _core.available_backends()[-1] in ("baseline", "neon")  # NEON is ARM's baseline


def test_a_bad_instruction_set():
    names = ", ".join(_core.available_backends())
    result = python(BACKEND, PYCONV_ISA="mmx")
    message = f"PYCONV_ISA is 'mmx': expected one of the instruction sets of this machine: {names}"
    assert result.returncode == 1
    assert result.stderr.strip().endswith(message)
    with pytest.raises(ValueError, match=rf"^\[select_backend\] name is 'mmx', expected one of .*{names}"):
        _core.select_backend("mmx")
