// Work that a signal may end (parallel.cpp).
#pragma once

#include <chrono>

namespace pyconv {

// While one lives, its thread calls `look` between the chunks of its own parallel_for calls, every 50 ms or so;
// what that throws ends the call like a task's exception. For work that nobody misses when it is left undone.
class Interruptible {
 public:
  explicit Interruptible(void (*look)());
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  void look();

 private:
  void (*look_)();
  std::chrono::steady_clock::time_point looked_;
  Interruptible* outer_;  // of the same thread
};

}  // namespace pyconv
