// Which tables this machine can use, and which one is chosen.
#pragma once

#include <string>

#include "cuda_library.h"
#include "kernels.h"

namespace pyconv {

struct Backend {
  const char* name;  // "baseline", "avx2", "avx512", "neon", "cuda", ...
  const Kernels* kernels;
  const FusedKernels* fused;      // null: none
  const DeviceFunctions* device;  // null: the host
};

// The host's instruction sets, best first; last, the one that every machine has: "baseline", or "neon", which is
// ARM's baseline.
const Backend* available_backends(int* count);

// The GPU's, opened at the first call: the library that PYCONV_CUDA_LIBRARY names, else the one beside this
// extension. Null where there is none; cuda_why_not() then says why.
const Backend* cuda_backend();
const char* cuda_why_not();

// The instruction set of host tensors: the best one, or the one that PYCONV_ISA names. Throws std::runtime_error
// when that one cannot run here.
const Backend& host_backend();

// Where arrays go that lie in no tensor yet: the last one selected, host_backend() before that.
const Backend& default_backend();

// Takes an instruction set, or "cuda", as default. Throws std::invalid_argument for what is not available.
void select_backend(const std::string& name);

// "cpu" or "cuda". Throws std::invalid_argument.
const Backend& backend_on(const std::string& device);

}  // namespace pyconv
