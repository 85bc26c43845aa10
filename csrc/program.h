// A recorded list of kernel calls, run in one go: what a plan becomes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda_library.h"
#include "kernels.h"

namespace pyconv {

// A kernel with its arguments.
using BoundKernel = std::function<Status(const Context&)>;

// What calls from now on multiply in, where the backend has a choice.
Precision precision();
void set_precision(Precision value);

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  struct Entry {
    const char* op;
    BoundKernel call;
    Conv2dAlgorithm algorithm;
    Precision precision;
  };

  // `owners` keep the memory that the call touches alive. All entries are on one device (null: the host).
  void append(Entry entry, const DeviceFunctions* device, size_t workspace_bytes,
              std::vector<std::shared_ptr<void>> owners);

  // Runs entries [begin, end); on a device, from the second time on, as one graph, without waiting for it. Throws
  // std::runtime_error when one fails.
  void run(size_t begin, size_t end);

  // Seconds that each entry took in one run.
  std::vector<double> time();

  const std::vector<Entry>& entries() const { return entries_; }
  size_t workspace_bytes() const { return workspace_bytes_; }

  // The program that this thread's calls are appended to, or null: they run at once.
  static Program*& recording();

 private:
  void* workspace();
  void enqueue(size_t begin, size_t end, void* stream);
  void check(Status status) const;

  std::vector<Entry> entries_;
  const DeviceFunctions* device_ = nullptr;
  std::vector<std::shared_ptr<void>> owners_;
  std::shared_ptr<void> workspace_;
  size_t workspace_bytes_ = 0;
  std::map<std::pair<size_t, size_t>, void*> graphs_;  // of entries [begin, end); null: ran once
};

// Runs (on a device: enqueues) one call. Throws std::runtime_error when it fails, OutOfMemory where its scratch
// memory cannot be had.
void run_call(const Program::Entry& entry, void* stream, void* workspace, size_t workspace_bytes);

}  // namespace pyconv
