// Memory, the stream and graphs: what the extension needs of the device beside kernels.
#include <cstdio>
#include <cstring>
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

// The stream of all work. A program may have made another device the current one.
cudaStream_t ours() {
  cudaSetDevice(0);
  return device().stream;
}

const char* why_not() {
  return device().reason[0] ? device().reason : nullptr;
}
const char* name() {
  return device().name;
}
void* stream() {
  return ours();
}

Status allocate(size_t bytes, void** memory) {
  return status_of(cudaMallocAsync(memory, bytes ? bytes : 1, ours()));
}
void release(void* memory) {
  cudaFreeAsync(memory, ours());
}
Status synchronize() {
  return status_of(cudaStreamSynchronize(ours()));
}
// Held while a stream captures a graph: to wait for the whole device then would break the capture off.
std::mutex& capturing() {
  static std::mutex mutex;
  return mutex;
}

Status synchronize_all() {
  const std::lock_guard lock(capturing());
  ours();
  return status_of(cudaDeviceSynchronize());
}
Status make_wait(void* other) {
  static std::mutex mutex;
  static cudaEvent_t reached = nullptr;
  const std::lock_guard lock(mutex);
  ours();  // whose event it is to be
  if (!reached) {
    if (const cudaError_t error = cudaEventCreateWithFlags(&reached, cudaEventDisableTiming); error != cudaSuccess)
      return status_of(error);
  }
  const cudaError_t error = cudaEventRecord(reached, ours());
  return status_of(error == cudaSuccess ? cudaStreamWaitEvent(static_cast<cudaStream_t>(other), reached, 0)
                                        : error);
}

// What goes to the device passes through pinned memory: the copy itself is the device's work, the caller's memory
// is free at once, and nobody waits but for the half that the device has not read yet.
class Staging {
 public:
  cudaError_t copy_in(char* to, const char* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    while (bytes) {
      if (!memory_) {
        if (const cudaError_t error = open(); error != cudaSuccess) return error;
      }
      if (used_ == kHalf) {
        if (const cudaError_t error = turn(); error != cudaSuccess) return error;
      }
      const size_t part = bytes < kHalf - used_ ? bytes : kHalf - used_;
      char* place = memory_ + static_cast<size_t>(half_) * kHalf + used_;
      std::memcpy(place, from, part);
      const cudaError_t error = cudaMemcpyAsync(to, place, part, cudaMemcpyHostToDevice, ours());
      if (error != cudaSuccess) return error;
      used_ += ceil_div(part, kAlignment) * kAlignment;
      to += part, from += part, bytes -= part;
    }
    return cudaSuccess;
  }

 private:
  static constexpr size_t kHalf = size_t{4} << 20, kAlignment = 64;

  cudaError_t open() {
    char* memory = nullptr;
    ours();  // whose events they are to be
    if (const cudaError_t error = cudaMallocHost(reinterpret_cast<void**>(&memory), 2 * kHalf);
        error != cudaSuccess)
      return error;
    for (cudaEvent_t& event : read_)
      if (const cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming); error != cudaSuccess)
        return error;
    memory_ = memory;
    return cudaSuccess;
  }
  // To the other half, once the device has read it.
  cudaError_t turn() {
    if (const cudaError_t error = cudaEventRecord(read_[half_], ours()); error != cudaSuccess) return error;
    half_ = 1 - half_;
    used_ = 0;
    return cudaEventSynchronize(read_[half_]);
  }

  std::mutex mutex_;
  char* memory_ = nullptr;
  cudaEvent_t read_[2] = {};
  int half_ = 0;
  size_t used_ = 0;
};

Status copy_in(void* to, const void* host, size_t bytes) {
  static Staging* staging = new Staging;  // never destroyed, as the device
  return status_of(staging->copy_in(static_cast<char*>(to), static_cast<const char*>(host), bytes));
}
Status copy_out(void* host, const void* from, size_t bytes) {
  const Status status = status_of(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, ours()));
  return status.message ? status : synchronize();
}
Status copy(void* to, const void* from, size_t bytes) {
  return status_of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, ours()));
}
Status fill(void* on, void* memory, uint8_t value, size_t bytes) {
  return status_of(cudaMemsetAsync(memory, value, bytes, static_cast<cudaStream_t>(on)));
}

// A stream of its own: what other threads enqueue meanwhile does not get into the graph.
Status begin_capture(void** on) {
  capturing().lock();
  ours();
  cudaStream_t apart = nullptr;
  cudaError_t error = cudaStreamCreateWithFlags(&apart, cudaStreamNonBlocking);
  if (error == cudaSuccess) {
    error = cudaStreamBeginCapture(apart, cudaStreamCaptureModeRelaxed);
    if (error != cudaSuccess) cudaStreamDestroy(apart);
  }
  if (error != cudaSuccess) capturing().unlock();
  *on = apart;
  return status_of(error);
}
Status end_capture(void* on, void** graph) {
  cudaGraph_t captured = nullptr;
  cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(on), &captured);
  capturing().unlock();
  cudaStreamDestroy(static_cast<cudaStream_t>(on));
  if (error != cudaSuccess) return status_of(error);
  error = cudaGraphInstantiate(reinterpret_cast<cudaGraphExec_t*>(graph), captured, 0);
  cudaGraphDestroy(captured);
  return status_of(error);
}
Status replay(void* graph) {
  return status_of(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), ours()));
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
    .make_wait = make_wait,
    .synchronize_all = synchronize_all,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .replay = replay,
    .destroy = destroy,
};

}  // namespace pyconv::cuda
