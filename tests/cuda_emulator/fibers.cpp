// The threads of a block, as fibers: each runs until a barrier or an exchange within its warp makes it wait.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "emulator.h"

namespace emulator {

int order = 0;

namespace {

constexpr size_t kStackBytes = 128 << 10;

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

}  // namespace emulator

// For the tests: the order in which threads run from now on.
extern "C" __attribute__((visibility("default"))) void pyconv_emulator_set_order(int value) {
  emulator::order = value;
}
