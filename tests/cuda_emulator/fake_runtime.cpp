// The part of the CUDA runtime that csrc/cuda uses: streams, whose work waits until somebody asks for its end,
// events and graphs.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "emulator.h"

namespace emulator {

std::string last_error = "no error";

struct Stream {
  std::vector<std::function<cudaError_t()>> work;
  Graph* capturing = nullptr;
};
struct Graph {
  std::vector<std::function<cudaError_t()>> work;
};
// A place in a stream's work.
struct Event {
  bool reached = true;
  cudaStream_t stream = nullptr;
};

namespace {

std::recursive_mutex mutex;
std::set<cudaStream_t> streams;
std::map<const char*, size_t> pinned;  // host memory that the device reads when it comes to it

bool is_pinned(const void* memory) {
  const auto* place = static_cast<const char*>(memory);
  const auto next = pinned.upper_bound(place);
  return next != pinned.begin() && place < std::prev(next)->first + std::prev(next)->second;
}

// PYCONV_EMULATOR_MACHINE is what the machine lacks: "driver", "new driver", "gpu" or "kernels".
bool machine_lacks(const char* what) {
  const char* lacking = std::getenv("PYCONV_EMULATOR_MACHINE");
  return lacking && std::strcmp(lacking, what) == 0;
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work) {
  const std::lock_guard lock(mutex);
  if (machine_lacks("kernels")) return cudaErrorNoKernelImageForDevice;
  if (!stream) return work();
  (stream->capturing ? stream->capturing->work : stream->work).push_back(std::move(work));
  return cudaSuccess;
}

}  // namespace emulator

using namespace emulator;

const char* cudaGetErrorString(cudaError_t) {
  return last_error.c_str();
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (machine_lacks("driver") || machine_lacks("new driver")) return cudaErrorInsufficientDriver;
  if (machine_lacks("gpu")) return cudaErrorNoDevice;
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine_lacks("driver") ? 0 : machine_lacks("new driver") ? 11040 : 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::snprintf(properties->name, sizeof(properties->name), "emulated GPU");
  properties->major = 9, properties->minor = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(mutex);
  for (cudaStream_t stream : streams)
    if (const cudaError_t error = stream->capturing ? cudaSuccess : cudaStreamSynchronize(stream);
        error != cudaSuccess)
      return error;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(mutex);
  *stream = *streams.insert(new Stream).first;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (stream->capturing) {
    last_error = "emulator: a stream was waited for while it captures a graph";
    return cudaErrorStreamCaptureInvalidated;
  }
  auto work = std::move(stream->work);
  stream->work.clear();
  for (const auto& step : work)
    if (const cudaError_t error = step(); error != cudaSuccess) return error;
  return check_memory();
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  *memory = std::malloc(bytes);
  pinned[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  event->reached = false;
  event->stream = stream;
  return enqueue(stream, [event] {
    event->reached = true;
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  return event->reached ? cudaSuccess : cudaStreamSynchronize(event->stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(mutex);
  const bool is_default = reinterpret_cast<uintptr_t>(stream) <= 2;  // whose work is done at once
  if (is_default || stream == event->stream) return is_default ? cudaEventSynchronize(event) : cudaSuccess;
  return enqueue(stream, [event] { return cudaEventSynchronize(event); });
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) {
  const std::lock_guard lock(mutex);
  return allocate(memory, bytes);
}

// At once, whatever still waits in a stream.
cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(mutex);
  return release(memory);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  // Never part of a graph: it would be freed at each replay.
  if (memory) stream->work.push_back([memory] { return cudaFree(memory); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (kind != cudaMemcpyHostToDevice || is_pinned(from))
    return enqueue(stream, [=] {
      std::memmove(to, from, bytes);
      return cudaSuccess;
    });
  // Pageable memory has been read when the call returns.
  const auto* bytes_of = static_cast<const char*>(from);
  return enqueue(stream, [to, copy = std::vector<char>(bytes_of, bytes_of + bytes)] {
    std::memcpy(to, copy.data(), copy.size());
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  return enqueue(stream, [=] {
    std::memset(memory, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  stream->work.insert(stream->work.end(), executable->work.begin(), executable->work.end());
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
