// The emulated GPU's memory: poisoned while it is fresh, between red zones while it lives, red once it is freed.
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "emulator.h"

namespace emulator {

namespace {

constexpr uint32_t kRed = 0xffc5ffc5u;  // as float32 NaN, as int32 negative

std::map<char*, size_t> allocations;
std::vector<std::pair<char*, size_t>> freed;  // kept until the stream's end, to see who still writes there

void fill_red(char* memory, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) memory[i] = reinterpret_cast<const char*>(&kRed)[i % 4];
}

// The bytes of the red zones before and after an allocation, as they are when nobody wrote there.
template <class Body>
void for_red_bytes(char* memory, size_t bytes, const Body& body) {
  const auto* red = reinterpret_cast<const char*>(&kRed);
  for (size_t i = 0; i < kRedZone; ++i) {
    body((memory - kRedZone)[i], red[i % 4]);
    body((memory + bytes)[i], red[(bytes + i) % 4]);
  }
}

cudaError_t check_freed() {
  bool untouched = true;
  for (const auto& [memory, bytes] : freed) {
    for (size_t i = 0; i < bytes; ++i) untouched &= memory[i] == reinterpret_cast<const char*>(&kRed)[i % 4];
    std::free(memory - kRedZone);
  }
  freed.clear();
  if (untouched) return cudaSuccess;
  last_error = "emulator: a kernel wrote to memory after it was freed";
  return cudaErrorIllegalAddress;
}

cudaError_t check_red_zones() {
  for (const auto& [memory, bytes] : allocations) {
    bool whole = true;
    for_red_bytes(memory, bytes, [&](char byte, char red) { whole &= byte == red; });
    if (whole) continue;
    last_error = "emulator: a kernel wrote outside an allocation of " + std::to_string(bytes) + " bytes";
    return cudaErrorIllegalAddress;
  }
  return cudaSuccess;
}

}  // namespace

// NaN in the even orders, large and finite in the odd ones: `v > 0 ? v : 0` would turn a NaN into 0.
void poison(void* memory, size_t bytes) {
  const uint32_t pattern = order % 2 ? 0x7e7e7e7eu : 0xffffffffu;
  auto* p = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < bytes; ++i) p[i] = static_cast<unsigned char>(pattern);
}

cudaError_t allocate(void** memory, size_t bytes) {
  constexpr size_t kAlignment = 256;
  const size_t whole = (bytes + 2 * kRedZone + kAlignment - 1) / kAlignment * kAlignment;
  auto* block = static_cast<char*>(std::aligned_alloc(kAlignment, whole));
  if (!block) {
    last_error = "emulator: out of memory";
    return cudaErrorMemoryAllocation;
  }
  char* start = block + kRedZone;
  poison(start, bytes);
  for_red_bytes(start, bytes, [](char& byte, char red) { byte = red; });
  allocations[start] = bytes;
  *memory = start;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  auto* start = static_cast<char*>(memory);
  const auto found = allocations.find(start);
  if (found == allocations.end()) {
    last_error = "emulator: memory that is not allocated was freed";
    return cudaErrorInvalidValue;
  }
  const cudaError_t error = check_red_zones();
  fill_red(start, found->second);
  freed.emplace_back(*found);
  allocations.erase(found);
  return error;
}

cudaError_t check_memory() {
  const cudaError_t error = check_freed();
  return error == cudaSuccess ? check_red_zones() : error;
}

}  // namespace emulator
