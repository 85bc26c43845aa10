// Which tables this machine can use, and which one is chosen.
#pragma once

#include "kernels.h"

namespace pyconv {

struct Backend {
  const char* name;  // "baseline", "avx2", "avx512", "neon", ...
  const Kernels* kernels;
  const FusedKernels* fused;  // null: none
};

// Best first; last, the one that every machine has: "baseline", or "neon", which is ARM's baseline.
const Backend* available_backends(int* count);

// The best one, or the one that PYCONV_ISA names. Throws std::runtime_error when that one cannot run here.
const Backend& backend();

// Throws std::invalid_argument for a name that is not available.
void select_backend(const char* name);

}  // namespace pyconv
