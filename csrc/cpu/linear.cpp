// Dense layers.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
#include "../linear_entries.h"
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
