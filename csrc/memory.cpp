#include "memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "sizes.h"

namespace pyconv {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
#ifdef __SANITIZE_ADDRESS__
constexpr bool kExact = true;  // so that the sanitizer sees where a block ends, and that it was freed
#else
constexpr bool kExact = false;
#endif
// Bytes kept for later; what is freed beyond goes to the system.
constexpr size_t kMostCached = kExact ? 0 : size_t{1} << 30;

// Sizes in steps of an eighth of their power of two: at most 12.5% is lost, and a freed block fits the next
// request of nearly its size.
size_t size_class(size_t bytes) {
  if (kExact) return bytes;
  size_t step = kAlignment;
  while (step * 16 <= bytes) step *= 2;
  return bytes == 0 ? kAlignment : (bytes + step - 1) / step * step;
}

OutOfMemory shortage(size_t bytes) {
  return OutOfMemory("[memory] " + std::to_string(bytes) + " bytes cannot be had");
}

// From the system; null where it has no more.
void* system_block(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const size_t size = kExact ? std::max<size_t>(bytes, 1) : (bytes + alignment - 1) / alignment * alignment;
  void* block = nullptr;
  return posix_memalign(&block, alignment, size) ? nullptr : block;
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
    void* block = system_block(bytes);
    if (!block) {
      empty();
      block = system_block(bytes);
    }
    if (!block) {
      const std::lock_guard lock(mutex);
      statistics.allocated_bytes -= bytes;
      throw shortage(bytes);
    }
    if (bytes >= kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }

  void give(void* block, size_t bytes) {
    const std::lock_guard lock(mutex);
    statistics.allocated_bytes -= bytes;
    if (statistics.cached_bytes + bytes > kMostCached) return std::free(block);
    try {
      free[bytes].push_back(block);
    } catch (const std::bad_alloc&) {  // no room to note it down
      return std::free(block);
    }
    statistics.cached_bytes += bytes;
  }

  void empty() {
    const std::lock_guard lock(mutex);
    for (auto& [size, blocks] : free) {
      for (void* block : blocks) std::free(block);
      statistics.cached_bytes -= size * blocks.size();
      blocks.clear();
    }
  }
};

Pool& pool();

// A child process has only the thread that forked: a lock that another one held would never be let go there. So
// the forking thread takes the pool's first, and both sides let it go.
Pool* make_pool() {
  Pool* made = new Pool;
  pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
  return made;
}

// Never destroyed: tensors may outlive static destructors at exit.
Pool& pool() {
  static Pool* instance = make_pool();
  return *instance;
}

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  if (bytes > kMostBytes) throw shortage(bytes);
  const size_t size = size_class(bytes);
  return {pool().take(size), [size](void* block) { pool().give(block, size); }};
}

std::shared_ptr<void> allocate(size_t bytes, const DeviceFunctions* device) {
  if (!device) return allocate(bytes);
  if (bytes > kMostBytes) throw shortage(bytes);
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
  pool().empty();
}

}  // namespace pyconv
