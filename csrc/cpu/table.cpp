// This instruction set's tables.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

extern const Kernels kKernels;
const Kernels kKernels{PYCONV_KERNELS(PYCONV_FILL_ENTRY)};

extern const FusedKernels kFusedKernels;
const FusedKernels kFusedKernels{PYCONV_FUSED_KERNELS(PYCONV_FILL_ENTRY)};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
