#include "backends.h"

#include <dlfcn.h>
#include <unistd.h>

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
    if (avx512) backends[count++] = {"avx512", &cpu::avx512::kKernels, &cpu::avx512::kFusedKernels, nullptr};
    if (avx2) backends[count++] = {"avx2", &cpu::avx2::kKernels, &cpu::avx2::kFusedKernels, nullptr};
#endif
#ifdef PYCONV_NEON
    backends[count++] = {"neon", &cpu::neon::kKernels, &cpu::neon::kFusedKernels, nullptr};
#else
    backends[count++] = {"baseline", &cpu::baseline::kKernels, &cpu::baseline::kFusedKernels, nullptr};
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

std::atomic<const Backend*> chosen_host{nullptr}, chosen{nullptr};

// The CUDA library, opened once and never closed.
struct Cuda {
  Backend backend{};
  std::string why_not;

  Cuda() {
    const std::string path = library_path();
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char* error = dlerror();
      const bool missing = access(path.c_str(), F_OK) != 0;
      why_not = missing ? "this build of pyconv has no CUDA library: it runs on the CPU only (build it with "
                          "PYCONV_CUDA=ON, where nvcc is installed)"
                        : "the CUDA library cannot be opened: " + std::string(error ? error : path);
      return;
    }
    auto* function = reinterpret_cast<CudaLibraryFunction*>(dlsym(library, "pyconv_cuda_library"));
    const CudaLibrary* found = function ? function(PYCONV_CONTRACT) : nullptr;
    if (!found) {
      why_not = "the CUDA library " + path + " is of another version of pyconv: build both together";
      return;
    }
    if (const char* reason = found->device->why_not()) {
      why_not = reason;
      return;
    }
    backend = {found->name, found->kernels, found->fused, found->device};
  }

  static std::string library_path() {
    if (const char* path = std::getenv("PYCONV_CUDA_LIBRARY"); path && *path) return path;
    Dl_info info{};
    dladdr(reinterpret_cast<const void*>(&available_backends), &info);
    const std::string self = info.dli_fname ? info.dli_fname : "";
    return self.substr(0, self.rfind('/') + 1) + "libpyconv_cuda.so";
  }
};

const Cuda& cuda() {
  static const Cuda* instance = new Cuda;
  return *instance;
}

}  // namespace

const Backend* available_backends(int* count) {
  *count = available().count;
  return available().backends;
}

const Backend* cuda_backend() {
  return cuda().backend.name ? &cuda().backend : nullptr;
}

const char* cuda_why_not() {
  return cuda().backend.name ? nullptr : cuda().why_not.c_str();
}

const Backend& host_backend() {
  if (const Backend* found = chosen_host.load(std::memory_order_acquire)) return *found;
  const Backend* found = &available().backends[0];
  const char* wanted = std::getenv("PYCONV_ISA");
  if (wanted && *wanted) {
    found = available().find(wanted);
    if (!found)
      throw std::runtime_error("PYCONV_ISA is '" + std::string(wanted) +
                               "': expected one of the instruction sets of this machine: " + available().names());
  }
  chosen_host.store(found, std::memory_order_release);
  return *found;
}

const Backend& default_backend() {
  const Backend* found = chosen.load(std::memory_order_acquire);
  return found ? *found : host_backend();
}

void select_backend(const std::string& name) {
  const Backend* found = available().find(name);
  if (found)
    chosen_host.store(found, std::memory_order_release);
  else if (name.rfind("cuda", 0) == 0)
    found = &backend_on("cuda");
  if (!found || name != found->name)
    throw std::invalid_argument("[select_backend] name is '" + name +
                                "', expected one of the instruction sets of this machine: " + available().names() +
                                ", or cuda");
  chosen.store(found, std::memory_order_release);
}

const Backend& backend_on(const std::string& device) {
  if (device == "cpu") return host_backend();
  if (device != "cuda") throw std::invalid_argument("device is '" + device + "', expected 'cpu' or 'cuda'");
  if (const Backend* found = cuda_backend()) return *found;
  throw std::invalid_argument("device is 'cuda', but " + std::string(cuda_why_not()));
}

}  // namespace pyconv
