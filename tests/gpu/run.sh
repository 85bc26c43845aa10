#!/usr/bin/env bash
# The CUDA backend on a real GPU, in under ten minutes: builds for the GPU that is here, runs the op suite and the
# models against float64 and the CPU, twice the same bits, then compute-sanitizer on small shapes.
#
#   tests/gpu/run.sh             # needs nvcc, cmake, ninja, and a Python with numpy, pybind11, pytest and hypothesis
#   tests/gpu/run.sh --dry-run   # the same steps on the emulator, without nvcc and the sanitizer, with pyconv installed
#
# The build goes to build/gpu and, as files that git ignores, into pyconv/. $PYTHON is python3 by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
dry=
[ "${1:-}" = --dry-run ] && dry=1

if [ -z "$dry" ]; then
  for tool in nvcc nvidia-smi cmake ninja; do
    command -v "$tool" > /dev/null || { echo "$tool is not there; see the head of $0" >&2; exit 1; }
  done
  nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
  [ "$capability" = 90 ] && capability=90a
  version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' pyconv/__init__.py)
  cmake -S . -B build/gpu -G Ninja -DPYCONV_CUDA=ON -DPYCONV_CUDA_ARCHITECTURES="$capability-real" \
    -DSKBUILD_PROJECT_NAME=pyconv -DSKBUILD_PROJECT_VERSION="$version" -DSKBUILD_PROJECT_VERSION_FULL="$version" \
    -Dpybind11_DIR="$("$PYTHON" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v "$PYTHON")" > /dev/null
  cmake --build build/gpu
  cmake --install build/gpu --prefix . > /dev/null
  export PYCONV_TEST_GPU=1
else
  PYCONV_CUDA_LIBRARY=$("$PYTHON" tests/cuda_emulator/build.py)
  export PYCONV_CUDA_LIBRARY
fi

export PYTHONPATH=.:tests${PYTHONPATH:+:$PYTHONPATH}
echo "== op suite, precisions and models"
"$PYTHON" -m pytest -q -p no:cacheprovider -k cuda --ignore tests/test_cuda_emulator.py --ignore tests/test_cuda_code.py

echo "== the same bits twice"
first=$("$PYTHON" tests/gpu/bits.py)
second=$("$PYTHON" tests/gpu/bits.py)
[ "$first" = "$second" ] || { diff <(echo "$first") <(echo "$second"); exit 1; }
echo "$first" | tail -1

if [ -z "$dry" ]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  for check in memcheck racecheck; do
    echo "== compute-sanitizer $check"
    if timeout 180 compute-sanitizer --tool "$check" --error-exitcode 1 --kernel-regex kns=pyconv \
      "$PYTHON" tests/gpu/bits.py --small > "$log" 2>&1; then
      tail -2 "$log"
    elif grep -q "Device not supported" "$log"; then
      echo "left out: the sanitizer does not support this device"
    else
      echo "failed, with status $? (124: it ran for more than three minutes)" >&2
      tail -60 "$log" >&2
      exit 1
    fi
  done
fi
echo "all checks passed"
