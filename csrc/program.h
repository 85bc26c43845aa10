// A recorded list of kernel calls, run in one go: what a plan becomes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels.h"

namespace pyconv {

using Call = std::function<Status(const Context&)>;

class Program {
 public:
  struct Entry {
    const char* op;
    Call call;
    Conv2dAlgorithm algorithm;
  };

  // `owners` keep the memory that the call touches alive.
  void append(Entry entry, size_t workspace_bytes, std::vector<std::shared_ptr<void>> owners);

  // Runs entries [begin, end). Throws std::runtime_error when one fails.
  void run(size_t begin, size_t end);

  // Seconds that each entry took in one run.
  std::vector<double> time();

  const std::vector<Entry>& entries() const { return entries_; }
  size_t workspace_bytes() const { return workspace_bytes_; }

  // The program that this thread's calls are appended to, or null: they run at once.
  static Program*& recording();

 private:
  Context context(const Entry& entry);

  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<void>> owners_;
  std::shared_ptr<void> workspace_;
  size_t workspace_bytes_ = 0;
};

// Runs one call now. Throws std::runtime_error when it fails.
void run_call(const Program::Entry& entry, const Context& context);

}  // namespace pyconv
