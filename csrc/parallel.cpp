// A small pool of our own. Each worker sleeps on a ticket of its own, so that a call wakes only as many
// threads as it has chunks for. A worker enters a call through its gate, which closes when all chunks are claimed:
// the caller waits for those inside alone, never for one that the system wakes late. A caller that finds the pool
// taken (another caller, or a task that calls parallel_for itself) runs its chunks alone: the same chunks, so the
// same bits.
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "interruptible.h"
#include "memory.h"

namespace pyconv {

namespace {

constexpr int kMaxThreads = 1024;
std::atomic<uint64_t> forks{0};  // how many forks lie between the first process and this one

constexpr int kSpins = 4000;  // about 40 us of pauses: longer than the gap between two ops of a plan

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits a little for value to differ from `old`; says whether it does.
template <class T>
bool spin_while_equal(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return true;
    pause_cpu();
  }
  return false;
}

// The processors that the calling thread may run on.
class ProcessorSet {
 public:
  ProcessorSet() : known_(sched_getaffinity(0, bytes(), set_) == 0) {}
  ~ProcessorSet() { CPU_FREE(set_); }
  ProcessorSet(const ProcessorSet&) = delete;
  ProcessorSet& operator=(const ProcessorSet&) = delete;

  bool known() const { return known_; }
  int count() const { return CPU_COUNT_S(bytes(), set_); }
  void remove(int processor) { CPU_CLR_S(static_cast<size_t>(processor), bytes(), set_); }
  void confine(pid_t thread) const { sched_setaffinity(thread, bytes(), set_); }

 private:
  static size_t bytes() { return CPU_ALLOC_SIZE(kMaxThreads); }
  cpu_set_t* set_ = CPU_ALLOC(kMaxThreads);
  bool known_;
};

// Of the memory that a thread is born with: the loader aborts where it cannot have more for a thread's variables.
#define PYCONV_THREAD_LOCAL thread_local __attribute__((tls_model("initial-exec")))

// What interrupts the calling thread's work, or null.
Interruptible*& interruptible() {
  PYCONV_THREAD_LOCAL Interruptible* current = nullptr;
  return current;
}

// The calling thread's own walk over all chunks.
void run_alone(int64_t chunks, ChunkTask task, void* data) {
  Interruptible* const interrupts = interruptible();
  for (int64_t i = 0; i < chunks; ++i) {
    if (interrupts) interrupts->look();
    task(data, i);
  }
}

class Pool {
 public:
  explicit Pool(int threads) {
    prepare();
    workers_.reserve(static_cast<size_t>(threads - 1));
    try {
      while (workers_.size() + 1 < static_cast<size_t>(threads)) {
        auto worker = std::make_unique<Worker>();
        // Kept free for what the thread takes in `prepare`: the loader aborts where it finds nothing.
        std::unique_ptr<char[]> room(new char[kRoom]);
        worker->thread = std::thread([this, w = worker.get()] { serve(*w); });
        room.reset();
        worker->prepared.wait(false, std::memory_order_acquire);
        workers_.push_back(std::move(worker));
      }
    } catch (const std::system_error& error) {  // a limit on processes, or memory for a stack
      warn(threads, error.what());
    } catch (const std::bad_alloc&) {
      warn(threads, "no memory");
    }
  }

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  ~Pool() {
    stop_ = true;
    for (auto& worker : workers_) {
      worker->ticket.fetch_add(1, std::memory_order_release);
      worker->ticket.notify_one();
    }
    for (auto& worker : workers_) worker->thread.join();
  }

  // False in a child forked by a look for an interruption: of the workers' chunks nobody knows.
  bool run(int64_t chunks, ChunkTask task, void* data) {
    const int64_t helpers = std::min<int64_t>(static_cast<int64_t>(workers_.size()), chunks - 1);
    std::unique_lock lock(taken_, std::try_to_lock);
    if (helpers <= 0 || !lock.owns_lock()) {
      run_alone(chunks, task, data);
      return true;
    }
    task_ = task;
    data_ = data;
    chunks_ = chunks;
    next_.store(0, std::memory_order_relaxed);
    gate_.store(kOpen, std::memory_order_release);
    const int here = sched_getcpu();
    for (int64_t i = 0; i < helpers; ++i) {
      Worker& worker = *workers_[static_cast<size_t>(i)];
      if (worker.asleep.load(std::memory_order_acquire)) keep_off(worker, here);
      worker.ticket.fetch_add(1, std::memory_order_release);
      worker.ticket.notify_one();
    }
    const uint64_t family = forks.load(std::memory_order_relaxed);
    claim(interruptible());
    if (forks.load(std::memory_order_relaxed) != family) return false;
    gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (uint32_t inside; (inside = gate_.load(std::memory_order_acquire)) != 0;)
      if (!spin_while_equal(gate_, inside)) gate_.wait(inside, std::memory_order_acquire);
    failed_.store(false, std::memory_order_relaxed);
    if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
    return true;
  }

 private:
  struct alignas(64) Worker {
    std::atomic<uint32_t> ticket{0};
    std::atomic<bool> prepared{false}, asleep{false};
    pid_t id = 0;
    int barred = -1;  // the processor that it may not run on
    std::thread thread;
  };

  // A system may wake a thread on the processor of the one that wakes it, busy as that is, and move it
  // milliseconds later: a virtual machine's kernel takes its own halted processors for busy ones. So a sleeper is
  // woken elsewhere.
  static void keep_off(Worker& worker, int processor) {
    if (worker.barred == processor || processor < 0) return;
    worker.barred = processor;
    ProcessorSet allowed;
    if (!allowed.known()) return;
    allowed.remove(processor);
    if (allowed.count() > 0) allowed.confine(worker.id);
  }

  // Takes chunks until there are none. Nothing leaves it: the stack that the task works on has to stay until all
  // threads are out.
  void claim(Interruptible* interrupts) noexcept {
    try {
      for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
        if (interrupts) interrupts->look();
        task_(data_, i);
      }
    } catch (...) {
      next_.store(chunks_, std::memory_order_relaxed);
      if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
    }
  }

  void warn(int wanted, const char* why) const {
    static std::atomic<bool> warned{false};
    if (!warned.exchange(true))
      std::fprintf(stderr, "pyconv: %d of %d threads could be started (%s); computing with these\n", threads(),
                   wanted, why);
  }

  static constexpr size_t kRoom = size_t{1} << 18;  // bytes

  // What a thread's first exception and first scratch take, had now: they may come when there is no memory left.
  static void prepare() {
    [[maybe_unused]] const volatile int touched = std::uncaught_exceptions();  // a call that is not left out
    try {
      thread_scratch(1);
    } catch (const std::bad_alloc&) {  // then it asks again
    }
  }

  void serve(Worker& worker) {
    worker.id = static_cast<pid_t>(syscall(SYS_gettid));
    prepare();
    worker.prepared.store(true, std::memory_order_release);
    worker.prepared.notify_one();
    for (uint32_t seen = 0;; ++seen) {
      if (!spin_while_equal(worker.ticket, seen)) {
        worker.asleep.store(true, std::memory_order_release);
        worker.ticket.wait(seen, std::memory_order_acquire);
        worker.asleep.store(false, std::memory_order_relaxed);
      }
      if (stop_) return;
      if (!enter()) continue;
      claim(nullptr);
      if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();  // closed, and the last one out
    }
  }

  bool enter() {
    uint32_t gate = gate_.load(std::memory_order_acquire);
    while (gate & kOpen)
      if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
    return false;
  }

  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex taken_;
  ChunkTask task_ = nullptr;
  void* data_ = nullptr;
  int64_t chunks_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  static constexpr uint32_t kOpen = uint32_t{1} << 31;
  alignas(64) std::atomic<uint32_t> gate_{0};  // kOpen, and how many workers are inside
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the one that set failed_; the caller's when all are out
};

struct State {
  std::mutex mutex;
  std::shared_ptr<Pool> pool;
  int threads = 0;  // 0: not decided yet
};

// Never destroyed: a worker may still run while the process exits.
State* state = new State;

int threads_from_environment() {
  if (const char* text = std::getenv("PYCONV_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long wanted = std::strtol(text, &end, 10);
    if (wanted >= 1 && !*end) return static_cast<int>(std::min<long>(wanted, kMaxThreads));
    std::fprintf(stderr,
                 "pyconv: PYCONV_NUM_THREADS is '%s', expected a number of at least 1; using the default\n", text);
  }
  return available_processors();
}

// In a forked child the workers are gone and locks may be held: start afresh, and leak the parent's state.
void after_fork() {
  const int threads = state->threads;
  forks.fetch_add(1, std::memory_order_relaxed);
  state = new State;
  state->threads = threads;
}

int decided_threads() {
  if (state->threads == 0) {
    static const int registered = pthread_atfork(nullptr, nullptr, after_fork);
    (void)registered;
    state->threads = threads_from_environment();
  }
  return state->threads;
}

std::shared_ptr<Pool> shared_pool() {
  const std::lock_guard lock(state->mutex);
  if (!state->pool) {
    state->pool = std::make_shared<Pool>(decided_threads());
    state->threads = state->pool->threads();
  }
  return state->pool;
}

// Processors' worth of time that the cgroup's quota allows, or 0 for no limit.
int cgroup_processors() {
  double quota = -1, period = -1;
  if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(file, "%lf %lf", &quota, &period) != 2) quota = -1;  // "max": no limit
    std::fclose(file);
  } else {
    const auto read = [](const char* path) {
      double value = -1;
      if (FILE* f = std::fopen(path, "r")) {
        if (std::fscanf(f, "%lf", &value) != 1) value = -1;
        std::fclose(f);
      }
      return value;
    };
    quota = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    period = read("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  }
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(quota / period + 0.5)) : 0;
}

}  // namespace

int available_processors() {
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (const ProcessorSet allowed; allowed.known()) count = std::max(1, allowed.count());
  const int quota = cgroup_processors();
  return std::min(quota > 0 ? std::min(count, quota) : count, kMaxThreads);
}

int num_threads() {
  const std::lock_guard lock(state->mutex);
  return decided_threads();
}

void set_num_threads(int threads) {
  const std::shared_ptr<Pool> old = [&] {
    const std::lock_guard lock(state->mutex);
    decided_threads();
    state->threads = std::clamp(threads, 1, kMaxThreads);
    return std::move(state->pool);
  }();
}  // the old pool ends here, or with the last call that runs on it

void* thread_scratch(size_t bytes) {
  PYCONV_THREAD_LOCAL std::shared_ptr<void> memory;
  PYCONV_THREAD_LOCAL size_t size = 0;
  if (bytes > size) {
    memory = nullptr;
    size = 0;
    memory = allocate(bytes);
    size = bytes;
  }
  return memory.get();
}

Interruptible::Interruptible(void (*look)())
    : look_(look), looked_(std::chrono::steady_clock::now()), outer_(std::exchange(interruptible(), this)) {}

Interruptible::~Interruptible() {
  interruptible() = outer_;
}

void Interruptible::look() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < std::chrono::milliseconds(50)) return;
  looked_ = now;
  look_();
}

void parallel_for(int64_t chunks, ChunkTask task, void* data) {
  if (chunks == 1) return run_alone(1, task, data);
  if (chunks > 1 && !shared_pool()->run(chunks, task, data)) run_alone(chunks, task, data);
}

}  // namespace pyconv
