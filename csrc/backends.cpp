#include "backends.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace pyconv {

#define PYCONV_DECLARE(isa)                \
  namespace cpu::isa {                     \
  extern const Kernels kKernels;           \
  extern const FusedKernels kFusedKernels; \
  }
#ifdef PYCONV_NEON
PYCONV_DECLARE(neon)
#else
PYCONV_DECLARE(baseline)
#endif
#ifdef PYCONV_X86
PYCONV_DECLARE(avx2)
PYCONV_DECLARE(avx512)
#endif
#undef PYCONV_DECLARE

namespace {

struct Available {
  Backend backends[3];
  int count = 0;

  Available() {
#ifdef PYCONV_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512) backends[count++] = {"avx512", &cpu::avx512::kKernels, &cpu::avx512::kFusedKernels};
    if (avx2) backends[count++] = {"avx2", &cpu::avx2::kKernels, &cpu::avx2::kFusedKernels};
#endif
#ifdef PYCONV_NEON
    backends[count++] = {"neon", &cpu::neon::kKernels, &cpu::neon::kFusedKernels};
#else
    backends[count++] = {"baseline", &cpu::baseline::kKernels, &cpu::baseline::kFusedKernels};
#endif
  }

  const Backend* find(const std::string& name) const {
    for (int i = 0; i < count; ++i)
      if (name == backends[i].name) return &backends[i];
    return nullptr;
  }

  std::string names() const {
    std::string list;
    for (int i = 0; i < count; ++i) list += (i ? ", " : "") + std::string(backends[i].name);
    return list;
  }
};

const Available& available() {
  static const Available instance;
  return instance;
}

std::atomic<const Backend*> chosen{nullptr};

}  // namespace

const Backend* available_backends(int* count) {
  *count = available().count;
  return available().backends;
}

const Backend& backend() {
  if (const Backend* found = chosen.load(std::memory_order_acquire)) return *found;
  const Backend* found = &available().backends[0];
  const char* wanted = std::getenv("PYCONV_ISA");
  if (wanted && *wanted) {
    found = available().find(wanted);
    if (!found)
      throw std::runtime_error("PYCONV_ISA is '" + std::string(wanted) +
                               "': expected one of the instruction sets of this machine: " + available().names());
  }
  chosen.store(found, std::memory_order_release);
  return *found;
}

void select_backend(const char* name) {
  const Backend* found = available().find(name);
  if (!found)
    throw std::invalid_argument("[select_backend] name is '" + std::string(name) +
                                "', expected one of the instruction sets of this machine: " + available().names());
  chosen.store(found, std::memory_order_release);
}

}  // namespace pyconv
