// The CUDA backend's tables, and the one symbol that its library exports.
#include "../cuda_library.h"
#include "cuda.h"

namespace pyconv::cuda {

namespace {

const Kernels kKernels{PYCONV_KERNELS(PYCONV_FILL_ENTRY)};
const FusedKernels kFusedKernels{PYCONV_FUSED_KERNELS(PYCONV_FILL_ENTRY)};

}  // namespace

extern const DeviceFunctions kDeviceFunctions;

}  // namespace pyconv::cuda

extern "C" __attribute__((visibility("default"))) const pyconv::CudaLibrary* pyconv_cuda_library(
    uint64_t contract) {
  static const pyconv::CudaLibrary library{
#ifdef PYCONV_EMULATED
      "cuda-emulated",
#else
      "cuda",
#endif
      &pyconv::cuda::kKernels, &pyconv::cuda::kFusedKernels, &pyconv::cuda::kDeviceFunctions};
  return contract == PYCONV_CONTRACT ? &library : nullptr;
}
