"""What a machine could do at most: multiply-adds in registers, measured by a loop that is compiled here."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# {instruction set: (bytes of a vector, the compiler's options for it, as in csrc/CMakeLists.txt)}
ON_X86 = {
    "baseline": (16, ["-march=x86-64-v2"]),
    "avx2": (32, ["-march=x86-64-v2", "-mavx2", "-mfma"]),
    "avx512": (64, ["-march=x86-64-v2", "-mavx2", "-mfma", "-mavx512f", "-mprefer-vector-width=512"]),
}
ELSEWHERE = {"baseline": (16, []), "neon": (16, [])}

# As many sums as 16 registers hold beside two constants: more than latency times throughput of any core.
SUMS, TURNS, RUNS = 14, 500_000, 25
SOURCE = f"""
typedef float Vec __attribute__((vector_size(VEC_BYTES)));
extern "C" float multiply_adds(long turns) {{
  Vec factor = Vec{{}} + 0.5f, addend = Vec{{}} + 1.0f;
  Vec {", ".join(f"sum{k} = addend * {k}.0f" for k in range(SUMS))};
  for (long i = 0; i < turns; ++i) {{
    {" ".join(f"sum{k} = sum{k} * factor + addend;" for k in range(SUMS))}
    asm volatile("" : "+REGISTER"(factor), "+REGISTER"(addend));  // no turn may be left out
  }}
  return ({" + ".join(f"sum{k}" for k in range(SUMS))})[0];
}}
"""


def measured_peak(isa, threads):
    """Return (FLOP/s of `threads` threads together, how that was measured).

    Raises OSError without a C++ compiler, CalledProcessError where it does not know the instruction set.
    """
    x86 = platform.machine() in ("x86_64", "AMD64")
    vec_bytes, options = (ON_X86 if x86 else ELSEWHERE)[isa]
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise OSError("measuring the machine's peak needs a C++ compiler; --peak GFLOPS names it instead")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "peak.cpp"), Path(folder, "peak.so")
        source.write_text(SOURCE.replace("REGISTER", "v" if x86 else "w"))
        options = ["-O2", "-ffp-contract=fast", f"-DVEC_BYTES={vec_bytes}", *options]
        subprocess.run([compiler, *options, "-shared", "-fPIC", "-o", library, source], check=True)
        loop = ctypes.CDLL(library).multiply_adds
    loop.argtypes, loop.restype = [ctypes.c_long], ctypes.c_float

    def rate(_):
        start = time.perf_counter()
        loop(TURNS)
        return 2 * TURNS * SUMS * vec_bytes / 4 / (time.perf_counter() - start)

    with ThreadPoolExecutor(threads) as pool:
        best = max(sum(pool.map(rate, range(threads))) for _ in range(RUNS))
    how = f"independent multiply-adds of {vec_bytes // 4} floats in registers, best of {RUNS} runs"
    return best, how
