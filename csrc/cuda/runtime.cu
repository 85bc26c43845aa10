// Memory, the stream and graphs: what the extension needs of the device beside kernels.
#include <cstdio>
#include <mutex>

#include "../cuda_library.h"
#include "runtime.h"

namespace pyconv::cuda {

namespace {

// A kernel of no use but to ask whether this library has code for the GPU.
struct Probe {
  static constexpr int kThreads = 32;
  PYCONV_DEVICE void operator()() const {}
};

struct Device {
  char reason[512] = "";  // why it cannot be used; empty where it can
  char name[256] = "";
  cudaStream_t stream = nullptr;
  bool tensor_cores = false;

  Device() {
    if (open() && reason[0] == 0) std::snprintf(reason, sizeof(reason), "the GPU does not respond");
  }

  // Returns whether something went wrong; `reason` says what.
  bool open() {
    int count = 0, driver = 0, runtime = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
      return fail("no NVIDIA driver is loaded: install one from nvidia.com/drivers, or check nvidia-smi");
    if (error == cudaErrorInsufficientDriver)
      return fail("the NVIDIA driver is too old: it supports CUDA %d.%d, this build of pyconv needs %d.%d",
                  driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
      return fail("the NVIDIA driver sees no GPU (CUDA_VISIBLE_DEVICES may hide it)");
    if (error != cudaSuccess) return fail("%s", cudaGetErrorString(error));

    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return true;
    std::snprintf(name, sizeof(name), "%s", properties.name);
    tensor_cores = properties.major >= 8;  // of tf32 and bfloat16
    cudaError_t probe = enqueue(Probe{}, {1}, 0, nullptr);
    if (probe == cudaSuccess) probe = cudaDeviceSynchronize();
    if (probe != cudaSuccess) cudaGetLastError();
    if (probe == cudaErrorNoKernelImageForDevice || probe == cudaErrorInvalidDeviceFunction)
      return fail(
          "this build of pyconv has no kernels for %s (compute capability %d.%d): build it on this machine, "
          "or with PYCONV_CUDA=ON",
          properties.name, properties.major, properties.minor);
    if (probe != cudaSuccess)
      return fail("%s does not run kernels: %s", properties.name, cudaGetErrorString(probe));
    // Freed memory stays with the process: a warm loop asks the system for none.
    cudaMemPool_t pool;
    uint64_t threshold = UINT64_MAX;
    return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
           cudaDeviceGetDefaultMemPool(&pool, 0) != cudaSuccess ||
           cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold) != cudaSuccess;
  }

  template <class... Parts>
  bool fail(const char* format, Parts... parts) {
    std::snprintf(reason, sizeof(reason), format, parts...);
    return true;
  }
};

// Never destroyed: at exit the driver may be gone before us.
Device& device() {
  static Device* instance = new Device;
  return *instance;
}

const char* why_not() {
  return device().reason[0] ? device().reason : nullptr;
}
const char* name() {
  return device().name;
}
void* stream() {
  return device().stream;
}

Status allocate(size_t bytes, void** memory) {
  return status_of(cudaMallocAsync(memory, bytes ? bytes : 1, device().stream));
}
void release(void* memory) {
  cudaFreeAsync(memory, device().stream);
}
Status synchronize() {
  return status_of(cudaStreamSynchronize(device().stream));
}
Status synchronize_all() {
  return status_of(cudaDeviceSynchronize());
}
// Pageable memory has been staged when the copy returns; memory that somebody pinned is still being read.
Status copy_in(void* to, const void* host, size_t bytes) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, host) != cudaSuccess) cudaGetLastError();
  const Status status = status_of(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, device().stream));
  return status.message || attributes.type == cudaMemoryTypeUnregistered ? status : synchronize();
}
Status copy_out(void* host, const void* from, size_t bytes) {
  const Status status = status_of(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, device().stream));
  return status.message ? status : synchronize();
}
Status copy(void* to, const void* from, size_t bytes) {
  return status_of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, device().stream));
}
Status fill(void* on, void* memory, uint8_t value, size_t bytes) {
  return status_of(cudaMemsetAsync(memory, value, bytes, static_cast<cudaStream_t>(on)));
}

// A stream of its own: what other threads enqueue meanwhile does not get into the graph.
Status begin_capture(void** on) {
  cudaStream_t apart = nullptr;
  cudaError_t error = cudaStreamCreateWithFlags(&apart, cudaStreamNonBlocking);
  if (error != cudaSuccess) return status_of(error);
  error = cudaStreamBeginCapture(apart, cudaStreamCaptureModeRelaxed);
  if (error != cudaSuccess) cudaStreamDestroy(apart);
  *on = apart;
  return status_of(error);
}
Status end_capture(void* on, void** graph) {
  cudaGraph_t captured = nullptr;
  cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(on), &captured);
  cudaStreamDestroy(static_cast<cudaStream_t>(on));
  if (error != cudaSuccess) return status_of(error);
  error = cudaGraphInstantiate(reinterpret_cast<cudaGraphExec_t*>(graph), captured, 0);
  cudaGraphDestroy(captured);
  return status_of(error);
}
Status replay(void* graph) {
  return status_of(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), device().stream));
}
void destroy(void* graph) {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

}  // namespace

bool has_tensor_cores() {
  return device().tensor_cores;
}

extern const DeviceFunctions kDeviceFunctions;
const DeviceFunctions kDeviceFunctions{
    .why_not = why_not,
    .name = name,
    .stream = stream,
    .allocate = allocate,
    .release = release,
    .copy_in = copy_in,
    .copy_out = copy_out,
    .copy = copy,
    .fill = fill,
    .synchronize = synchronize,
    .synchronize_all = synchronize_all,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .replay = replay,
    .destroy = destroy,
};

}  // namespace pyconv::cuda
