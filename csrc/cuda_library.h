// The C ABI between the extension and the CUDA library, a shared library of its own: it is opened when a GPU is
// asked for, and one build serves every Python.
#pragma once

#include "kernels.h"

namespace pyconv {

// Memory and order of work of a device. All work goes to one stream, in order; `copy_in` may return before it is
// done but has read the host's memory, `copy_out` and `synchronize` return when all before is done. Each makes the
// device the thread's current one.
struct DeviceFunctions {
  // Null where a GPU can be used, else the reason in words that a user can act on; asked first, once.
  const char* (*why_not)();
  const char* (*name)();  // "NVIDIA H100 80GB HBM3"
  void* (*stream)();

  Status (*allocate)(size_t bytes, void** memory);  // 256-byte aligned
  void (*release)(void* memory);                    // once the work enqueued so far is done
  Status (*copy_in)(void* device, const void* host, size_t bytes);
  Status (*copy_out)(void* host, const void* device, size_t bytes);
  Status (*copy)(void* to, const void* from, size_t bytes);
  Status (*fill)(void* stream, void* memory, uint8_t value, size_t bytes);
  Status (*synchronize)();
  Status (*make_wait)(void* stream);  // somebody else's, for all that was enqueued so far; without waiting here
  Status (*synchronize_all)();        // what others enqueued on streams of their own, too

  // What is enqueued between begin and end on the stream that begin gives becomes a graph and does not run;
  // `replay` enqueues all of it at once.
  Status (*begin_capture)(void** stream);
  Status (*end_capture)(void* stream, void** graph);
  Status (*replay)(void* graph);
  void (*destroy)(void* graph);
};

struct CudaLibrary {
  const char* name;  // of the backend
  const Kernels* kernels;
  const FusedKernels* fused;
  const DeviceFunctions* device;
};

// pyconv_cuda_library, all that the library exports: null for another contract than its own. `contract` is a hash
// of kernels.h, shapes.h and this file, PYCONV_CONTRACT, which the build computes.
using CudaLibraryFunction = const CudaLibrary*(uint64_t contract);

}  // namespace pyconv
