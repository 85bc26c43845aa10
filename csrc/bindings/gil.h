// Python's lock while the library computes.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace pyconv {

// Lets other Python threads run while it lives. Unlike pybind11's, it survives the interpreter's end: a daemon
// thread that comes back too late is ended by Python's pthread_exit, whose unwinding may not leave a destructor.
// It stops here for good instead, as Python 3.14 has it.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) pause();
    }
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace pyconv
