// Fibers, memory, streams and graphs of the emulated GPU. PYCONV_EMULATOR_ORDER (0 to 3) is the order in which the
// threads of a block run: forwards, backwards, shuffled, shuffled anew at each round. Single-threaded.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "csrc/cuda/device.cuh"

namespace emulator {

namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr size_t kRedZone = 256;
constexpr uint32_t kRed = 0xffc5ffc5u;  // as float32 NaN, as int32 negative

int order = 0;

// NaN in the even orders, large and finite in the odd ones: `v > 0 ? v : 0` would turn a NaN into 0.
void poison(void* memory, size_t bytes) {
  const uint32_t pattern = order % 2 ? 0x7e7e7e7eu : 0xffffffffu;
  auto* p = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < bytes; ++i) p[i] = static_cast<unsigned char>(pattern);
}

// ---- fibers

// A stack of its own, made once; it runs one thread after another. Between fibers it jumps (_setjmp, _longjmp):
// switching contexts would ask the system each time.
struct Fiber {
  jmp_buf place;
  char* stack = nullptr;
  bool started = false;
  enum { kReady, kWaiting, kDone } state = kReady;
  struct Copy {
    void* to;
    const void* from;
    bool valid;
  };
  std::vector<std::vector<Copy>> copies;  // groups on their way; the last one is open
};

struct Warp {
  void* lanes[32];
  int arrived = 0;
};

struct Block {
  Grid index, grid;
  int threads = 0, alive = 0, at_barrier = 0, current = 0;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<char> shared;
  const std::function<void()>* body = nullptr;
  jmp_buf scheduler;
};
Block block_;

Fiber& running() {
  return block_.fibers[static_cast<size_t>(block_.current)];
}

[[gnu::noinline]] void leave(Fiber& self) {
  if (_setjmp(self.place) == 0) _longjmp(block_.scheduler, 1);
}

void fiber_main() {
  for (;;) {
    (*block_.body)();
    running().state = Fiber::kDone;
    leave(running());
  }
}

void wait() {
  running().state = Fiber::kWaiting;
  leave(running());
}

[[gnu::noinline]] void enter(Fiber& fiber) {
  if (_setjmp(block_.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, fiber_main, 0);
  setcontext(&context);
}

void wake(int begin, int end) {
  for (int i = begin; i < end; ++i) {
    Fiber& fiber = block_.fibers[static_cast<size_t>(i)];
    if (fiber.state == Fiber::kWaiting) fiber.state = Fiber::kReady;
  }
}

// Lets a thread run until it waits; whether it could.
bool run_thread(int i) {
  Fiber& fiber = block_.fibers[static_cast<size_t>(i)];
  if (fiber.state != Fiber::kReady) return false;
  block_.current = i;
  enter(fiber);
  if (fiber.state == Fiber::kDone &&
      std::any_of(fiber.copies.begin(), fiber.copies.end(), [](const auto& group) { return !group.empty(); })) {
    std::fprintf(stderr, "emulator: a thread ended with asynchronous copies on their way\n");
    std::abort();
  }
  if (fiber.state == Fiber::kDone && --block_.alive && block_.at_barrier == block_.alive) {
    block_.at_barrier = 0;  // as on a GPU, threads that have returned do not count
    wake(0, block_.threads);
  }
  return true;
}

// Runs the block's threads to their end; false for a deadlock. In half of the orders all warps keep step, in the
// others one runs ahead as far as a barrier lets it.
bool run_block(std::mt19937& random) {
  const bool ahead = order == 1 || order == 2;
  std::vector<int> turns(static_cast<size_t>(block_.threads));
  for (int i = 0; i < block_.threads; ++i) turns[static_cast<size_t>(i)] = order == 1 ? block_.threads - 1 - i : i;
  if (order >= 2) std::shuffle(turns.begin(), turns.end(), random);
  while (block_.alive) {
    if (order == 3) std::shuffle(turns.begin(), turns.end(), random);
    bool progress = false;
    for (const int i : turns) {
      bool runs = run_thread(i);
      progress |= runs;
      while (ahead && runs) {
        runs = false;
        for (int lane = i / 32 * 32; lane < std::min(i / 32 * 32 + 32, block_.threads); ++lane)
          runs |= run_thread(lane);
      }
    }
    if (!progress) return false;
  }
  return true;
}

std::string last_error = "no error";

// PYCONV_EMULATOR_MACHINE is what the machine lacks: "driver", "new driver", "gpu" or "kernels".
bool machine_lacks(const char* what) {
  const char* lacking = std::getenv("PYCONV_EMULATOR_MACHINE");
  return lacking && std::strcmp(lacking, what) == 0;
}

}  // namespace

cudaError_t run_grid(Grid grid, int threads, size_t shared_bytes, const char* kernel,
                     const std::function<void()>& body) {
  std::mt19937 random(static_cast<unsigned>(order));
  block_.grid = grid;
  block_.threads = threads;
  block_.body = &body;
  while (block_.fibers.size() < static_cast<size_t>(threads)) {
    block_.fibers.emplace_back();
    block_.fibers.back().stack = static_cast<char*>(
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
  }
  block_.warps.assign(static_cast<size_t>(threads + 31) / 32, {});
  block_.shared.resize(shared_bytes + 2 * kRedZone);
  for (int64_t z = 0; z < grid.z; ++z)
    for (int64_t y = 0; y < grid.y; ++y)
      for (int64_t x = 0; x < grid.x; ++x) {
        block_.index = {x, y, z};
        block_.alive = threads;
        block_.at_barrier = 0;
        poison(block_.shared.data(), block_.shared.size());
        for (int i = 0; i < threads; ++i) {
          Fiber& fiber = block_.fibers[static_cast<size_t>(i)];
          fiber.state = Fiber::kReady;
          fiber.copies.assign(1, {});
        }
        if (!run_block(random)) {
          for (Fiber& fiber : block_.fibers) fiber.started = false;  // they are stuck: begin anew
          last_error = std::string("emulator: threads of a block wait for each other for ever in ") + kernel;
          return cudaErrorLaunchTimeout;
        }
      }
  return cudaSuccess;
}

int thread_index() {
  return block_.current;
}
const Grid& block() {
  return block_.index;
}
const Grid& grid() {
  return block_.grid;
}
void* shared_memory() {
  const auto start = reinterpret_cast<uintptr_t>(block_.shared.data());
  return reinterpret_cast<void*>((start + kRedZone) / 128 * 128);
}
void barrier() {
  if (++block_.at_barrier < block_.alive) return wait();
  block_.at_barrier = 0;
  wake(0, block_.threads);
}
void exchange(void* mine, void (*meet)(void* const (&lanes)[32])) {
  const int first = block_.current / 32 * 32;
  Warp& warp = block_.warps[static_cast<size_t>(block_.current / 32)];
  warp.lanes[block_.current % 32] = mine;
  if (++warp.arrived < 32) return wait();
  warp.arrived = 0;
  meet(warp.lanes);
  wake(first, first + 32);
}

// ---- asynchronous copies land when they are waited for, and not before

namespace {
std::vector<std::vector<Fiber::Copy>>& copies() {
  return running().copies;
}
}  // namespace

void expect_aligned(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  std::fprintf(stderr, "emulator: an access to %zu bytes is not aligned to them\n", bytes);
  std::abort();
}

void async_copy_16(void* to, const void* from, bool valid) {
  expect_aligned(to, 16);
  if (valid) expect_aligned(from, 16);
  poison(to, 16);
  copies().back().push_back({to, from, valid});
}
void async_copy_commit() {
  copies().emplace_back();
}
void async_copy_wait(int groups) {
  auto& all = copies();
  for (; all.size() > static_cast<size_t>(groups) + 1; all.erase(all.begin()))
    for (const auto& copy : all.front()) {
      if (copy.valid)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
}

// ---- memory: each allocation between two red zones

namespace {

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

// ---- streams

namespace {
std::recursive_mutex mutex;
}

struct Stream {
  std::vector<std::function<cudaError_t()>> work;
  Graph* capturing = nullptr;
};
std::set<cudaStream_t> streams;
struct Graph {
  std::vector<std::function<cudaError_t()>> work;
};
// A place in a stream's work.
struct Event {
  bool reached = true;
  cudaStream_t stream = nullptr;
};
std::map<const char*, size_t> pinned;  // host memory that the device reads when it comes to it

bool is_pinned(const void* memory) {
  const auto* place = static_cast<const char*>(memory);
  const auto next = pinned.upper_bound(place);
  return next != pinned.begin() && place < std::prev(next)->first + std::prev(next)->second;
}

cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work) {
  const std::lock_guard lock(mutex);
  if (machine_lacks("kernels")) return cudaErrorNoKernelImageForDevice;
  if (!stream) return work();
  (stream->capturing ? stream->capturing->work : stream->work).push_back(std::move(work));
  return cudaSuccess;
}

}  // namespace emulator

using emulator::allocations;
using emulator::last_error;
using emulator::machine_lacks;

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
  const std::lock_guard lock(emulator::mutex);
  for (cudaStream_t stream : emulator::streams)
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
  const std::lock_guard lock(emulator::mutex);
  *stream = *emulator::streams.insert(new emulator::Stream).first;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  emulator::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  if (stream->capturing) {
    last_error = "emulator: a stream was waited for while it captures a graph";
    return cudaErrorStreamCaptureInvalidated;
  }
  auto work = std::move(stream->work);
  stream->work.clear();
  for (const auto& step : work)
    if (const cudaError_t error = step(); error != cudaSuccess) return error;
  const cudaError_t error = emulator::check_freed();
  return error == cudaSuccess ? emulator::check_red_zones() : error;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  const std::lock_guard lock(emulator::mutex);
  *memory = std::malloc(bytes);
  emulator::pinned[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new emulator::Event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  event->reached = false;
  event->stream = stream;
  return emulator::enqueue(stream, [event] {
    event->reached = true;
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(emulator::mutex);
  return event->reached ? cudaSuccess : cudaStreamSynchronize(event->stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(emulator::mutex);
  const bool is_default = reinterpret_cast<uintptr_t>(stream) <= 2;  // whose work is done at once
  if (is_default || stream == event->stream) return is_default ? cudaEventSynchronize(event) : cudaSuccess;
  return emulator::enqueue(stream, [event] { return cudaEventSynchronize(event); });
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) {
  const std::lock_guard lock(emulator::mutex);
  constexpr size_t kAlignment = 256;
  const size_t whole = (bytes + 2 * emulator::kRedZone + kAlignment - 1) / kAlignment * kAlignment;
  auto* block = static_cast<char*>(std::aligned_alloc(kAlignment, whole));
  if (!block) {
    last_error = "emulator: out of memory";
    return cudaErrorMemoryAllocation;
  }
  emulator::poison(block + emulator::kRedZone, bytes);
  emulator::for_red_bytes(block + emulator::kRedZone, bytes, [](char& byte, char red) { byte = red; });
  *memory = block + emulator::kRedZone;
  allocations[block + emulator::kRedZone] = bytes;
  return cudaSuccess;
}

// At once, whatever still waits in a stream.
cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(emulator::mutex);
  auto* start = static_cast<char*>(memory);
  const auto found = allocations.find(start);
  if (found == allocations.end()) {
    last_error = "emulator: memory that is not allocated was freed";
    return cudaErrorInvalidValue;
  }
  const cudaError_t error = emulator::check_red_zones();
  emulator::fill_red(start, found->second);
  emulator::freed.emplace_back(*found);
  allocations.erase(found);
  return error;
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  // Never part of a graph: it would be freed at each replay.
  if (memory) stream->work.push_back([memory] { return cudaFree(memory); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  if (kind != cudaMemcpyHostToDevice || emulator::is_pinned(from))
    return emulator::enqueue(stream, [=] {
      std::memmove(to, from, bytes);
      return cudaSuccess;
    });
  // Pageable memory has been read when the call returns.
  const auto* bytes_of = static_cast<const char*>(from);
  return emulator::enqueue(stream, [to, copy = std::vector<char>(bytes_of, bytes_of + bytes)] {
    std::memcpy(to, copy.data(), copy.size());
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  return emulator::enqueue(stream, [=] {
    std::memset(memory, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new emulator::Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new emulator::Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(emulator::mutex);
  stream->work.insert(stream->work.end(), executable->work.begin(), executable->work.end());
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// For the tests: the order in which threads run from now on.
extern "C" __attribute__((visibility("default"))) void pyconv_emulator_set_order(int value) {
  emulator::order = value;
}
