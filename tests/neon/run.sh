#!/usr/bin/env bash
# The NEON kernels without an ARM machine: cross-compiles the extension for 64-bit ARM, warnings being errors, and
# runs the op tests under QEMU, with an arm64 Python unpacked into a work folder. Nothing is installed.
#
#   tests/neon/run.sh [WORK_FOLDER]      # a folder that is named is kept, and a second run there is quicker
#
# For Debian on x86-64 with g++-aarch64-linux-gnu and qemu-user. $PYTHON (default: python3) must have pip and be the
# version of Debian's python3; cmake and ninja must be on the PATH.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=${PYTHON:-python3}
version=3.11 # Debian 12's
tag=${version/./}

# Ops, and the plans and programs that call them; not the models, which train for minutes under QEMU. QEMU's user mode
# cannot fork a process whose threads are running: the child hangs.
tests=(accuracy adam add affine avg_pool2d batch_norm conv2d conv2d_winograd dropout fused fusion gather linear
  max_pool2d ops parallel philox plan program relu sgd softmax softmax_cross_entropy sum tensor)
skipped=(tests/test_parallel.py::test_forked_children_compute)

for tool in aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg cmake ninja "$PYTHON"; do
  command -v "$tool" > /dev/null || { echo "$tool is not there; see the head of $0" >&2; exit 1; }
done
if [ $# -gt 0 ]; then
  mkdir -p "$1"
  work=$(cd "$1" && pwd)
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
sysroot=$work/sysroot site=$work/site build=$work/build debs=$work/debs

# ---- an arm64 Python: packages unpacked, not installed
if [ ! -x "$sysroot/usr/bin/python$version" ]; then
  if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    setup="dpkg --add-architecture arm64 && apt-get update"
    if [ "$(id -u)" -ne 0 ]; then
      echo "once, as root: $setup" >&2
      exit 1
    fi
    bash -euo pipefail -c "$setup"
  fi
  mkdir -p "$debs" "$sysroot"
  packages=(python$version-minimal libpython$version-minimal libpython$version-stdlib libpython$version-dev libc6
    libstdc++6 libgcc-s1 zlib1g libexpat1 libssl3 libffi8 libsqlite3-0 libbz2-1.0 liblzma5 libuuid1)
  (cd "$debs" && apt-get download -qq "${packages[@]/%/:arm64}")
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$sysroot"; done
fi

# QEMU as an executable beside that Python, so that tests find it as sys.executable.
python=$sysroot/usr/bin/python3
cat > "$python" << WRAPPER
#!/bin/sh
exec qemu-aarch64 -L "$sysroot" -0 "$python" "$sysroot/usr/bin/python$version" "\$@"
WRAPPER
chmod +x "$python"

# ---- arm64 wheels of what pyconv and its tests import
if [ ! -d "$site/numpy" ]; then
  platforms=()
  for glibc in 2_34 2_31 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_aarch64"); done
  "$PYTHON" -m pip install --quiet --target "$site" "${platforms[@]}" --platform manylinux2014_aarch64 \
    --only-binary=:all: --implementation cp --python-version $version \
    numpy tqdm safetensors platformdirs pytest hypothesis
fi
# pybind11 is headers and CMake files: those of this machine do.
[ -d "$work/tools" ] || "$PYTHON" -m pip install --quiet --target "$work/tools" pybind11

# ---- the extension
project_version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/pyproject.toml")
PYCONV_WERROR=1 cmake -G Ninja -S "$repository" -B "$build" --log-level=WARNING \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -DCMAKE_CXX_FLAGS="-isystem $sysroot/usr/include" \
  -DSKBUILD_PROJECT_VERSION="$project_version" -DSKBUILD_PROJECT_VERSION_FULL="$project_version" \
  -Dpybind11_DIR="$work/tools/pybind11/share/cmake/pybind11" \
  -DPython_EXECUTABLE="$(command -v "$PYTHON")" -DPython_INCLUDE_DIR="$sysroot/usr/include/python$version" \
  -DPYTHON_MODULE_EXTENSION=".cpython-$tag-aarch64-linux-gnu.so"
cmake --build "$build"
rm -rf "$site/pyconv"
cp -r "$repository/pyconv" "$site/pyconv"
cmake --install "$build" --prefix "$site" > /dev/null

# ---- the tests
cd "$repository"
export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 PYCONV_NUM_THREADS=${PYCONV_NUM_THREADS:-2}
export HYPOTHESIS_STORAGE_DIRECTORY=$work/hypothesis # else .hypothesis in the checkout
unset PYCONV_ISA
"$python" -c 'import platform; from pyconv import _core; print(platform.machine(), _core.available_backends())'
files=("${tests[@]/#/tests/test_}")
"$python" -m pytest -p no:cacheprovider -q --durations=5 "${skipped[@]/#/--deselect=}" \
  "${files[@]/%/.py}"
