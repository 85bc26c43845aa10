// Memory for tensors and arenas: 64-byte aligned, from a pool that keeps up to 1 GiB of freed blocks, so that a
// warm loop neither asks the system nor faults pages.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "cuda_library.h"

namespace pyconv {

// Memory that cannot be had, and for what.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// At least `bytes` bytes, uninitialised; back to the pool when the last owner goes. Throws OutOfMemory, also for
// more than kMostBytes.
std::shared_ptr<void> allocate(size_t bytes);

// The same on a device, or on the host for null. Throws std::runtime_error where the device has no more.
std::shared_ptr<void> allocate(size_t bytes, const DeviceFunctions* device);

// Zeros, now on the host (null) or in the order of the stream on a device.
Status clear(const DeviceFunctions* device, void* stream, void* memory, size_t bytes);

struct MemoryStatistics {
  size_t allocated_bytes;  // in use
  size_t cached_bytes;     // freed and kept
  size_t system_calls;     // times the pool had to ask the system
};
MemoryStatistics memory_statistics();

// Gives the kept blocks back to the system.
void empty_cache();

}  // namespace pyconv
