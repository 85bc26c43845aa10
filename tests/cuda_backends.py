"""Which CUDA backend the tests run on: the emulator, or with PYCONV_TEST_GPU=1 this machine's GPU."""

import os

from cuda_emulator.build import build

from pyconv import _core


def _open():
    if os.environ.get("PYCONV_TEST_GPU"):
        if why := _core.cuda_why_not():
            raise RuntimeError(f"PYCONV_TEST_GPU is set, but {why}")
        return ["cuda"]
    os.environ["PYCONV_CUDA_LIBRARY"] = str(build())
    return ["cuda-emulated"]


CUDA = _open()
os.environ["PYCONV_DEVICE"] = "cpu"  # what the command lines' "auto" is to mean while an emulator stands in
