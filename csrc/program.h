// A recorded list of kernel calls, run in one go: what a plan becomes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda_library.h"
#include "kernels.h"

namespace pyconv {

using Call = std::function<Status(const Context&)>;

// What calls from now on multiply in, where the backend has a choice.
Precision precision();
void set_precision(Precision value);

class Program {
 public:
  struct Entry {
    const char* op;
    Call call;
    Conv2dAlgorithm algorithm;
    Precision precision;
  };

  // `owners` keep the memory that the call touches alive. All entries are on one device (null: the host).
  void append(Entry entry, const DeviceFunctions* device, size_t workspace_bytes,
              std::vector<std::shared_ptr<void>> owners);

  // Runs entries [begin, end). Throws std::runtime_error when one fails.
  void run(size_t begin, size_t end);

  // Seconds that each entry took in one run.
  std::vector<double> time();

  const std::vector<Entry>& entries() const { return entries_; }
  size_t workspace_bytes() const { return workspace_bytes_; }

  // The program that this thread's calls are appended to, or null: they run at once.
  static Program*& recording();

 private:
  void* workspace();

  std::vector<Entry> entries_;
  const DeviceFunctions* device_ = nullptr;
  std::vector<std::shared_ptr<void>> owners_;
  std::shared_ptr<void> workspace_;
  size_t workspace_bytes_ = 0;
};

// Runs (on a device: enqueues) one call. Throws std::runtime_error when it fails.
void run_call(const Program::Entry& entry, const DeviceFunctions* device, void* workspace, size_t workspace_bytes);

}  // namespace pyconv
