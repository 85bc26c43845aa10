#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace pyconv {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMostCached = size_t{1} << 30;  // bytes kept for later; what is freed beyond goes to the system

// Sizes in steps of an eighth of their power of two: at most 12.5% is lost, and a freed block fits the next
// request of nearly its size.
size_t size_class(size_t bytes) {
  size_t step = kAlignment;
  while (step * 16 <= bytes) step *= 2;
  return bytes == 0 ? kAlignment : (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  std::unordered_map<size_t, std::vector<void*>> free;
  MemoryStatistics statistics{};

  void* take(size_t bytes) {
    {
      const std::lock_guard lock(mutex);
      statistics.allocated_bytes += bytes;
      if (auto found = free.find(bytes); found != free.end() && !found->second.empty()) {
        void* block = found->second.back();
        found->second.pop_back();
        statistics.cached_bytes -= bytes;
        return block;
      }
      ++statistics.system_calls;
    }
    const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
    void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (!block) {
      const std::lock_guard lock(mutex);
      statistics.allocated_bytes -= bytes;
      throw std::bad_alloc();
    }
    if (bytes >= kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }

  void give(void* block, size_t bytes) {
    const std::lock_guard lock(mutex);
    statistics.allocated_bytes -= bytes;
    if (statistics.cached_bytes + bytes > kMostCached) return std::free(block);
    free[bytes].push_back(block);
    statistics.cached_bytes += bytes;
  }
};

// Never destroyed: tensors may outlive static destructors at exit.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  const size_t size = size_class(bytes);
  return {pool().take(size), [size](void* block) { pool().give(block, size); }};
}

std::shared_ptr<void> allocate(size_t bytes, const DeviceFunctions* device) {
  if (!device) return allocate(bytes);
  void* block = nullptr;
  if (const Status status = device->allocate(bytes, &block); status.message)
    throw std::runtime_error("[memory] " + std::to_string(bytes) + " bytes on the GPU: " + status.message);
  return {block, device->release};
}

Status clear(const DeviceFunctions* device, void* stream, void* memory, size_t bytes) {
  if (device) return device->fill(stream, memory, 0, bytes);
  if (bytes) std::memset(memory, 0, bytes);
  return kOk;
}

MemoryStatistics memory_statistics() {
  const std::lock_guard lock(pool().mutex);
  return pool().statistics;
}

void empty_cache() {
  const std::lock_guard lock(pool().mutex);
  for (auto& [size, blocks] : pool().free) {
    for (void* block : blocks) std::free(block);
    pool().statistics.cached_bytes -= size * blocks.size();
    blocks.clear();
  }
}

}  // namespace pyconv
