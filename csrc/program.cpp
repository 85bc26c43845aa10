#include "program.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>

#include "memory.h"

namespace pyconv {

namespace {
std::atomic<Precision> chosen_precision{Precision::kTf32};
}

Precision precision() {
  return chosen_precision;
}
void set_precision(Precision value) {
  chosen_precision = value;
}

void run_call(const Program::Entry& entry, const DeviceFunctions* device, void* workspace,
              size_t workspace_bytes) {
  void* stream = device ? device->stream() : nullptr;
  const Status status = entry.call({stream, entry.precision, entry.algorithm, workspace, workspace_bytes});
  if (status.message) throw std::runtime_error("[" + std::string(entry.op) + "] " + status.message);
}

void Program::append(Entry entry, const DeviceFunctions* device, size_t workspace_bytes,
                     std::vector<std::shared_ptr<void>> owners) {
  if (entries_.empty()) device_ = device;
  if (device != device_)
    throw std::runtime_error("[" + std::string(entry.op) +
                             "] is on another device than the program's other calls");
  entries_.push_back(std::move(entry));
  for (auto& owner : owners)
    if (owner && std::find(owners_.begin(), owners_.end(), owner) == owners_.end())
      owners_.push_back(std::move(owner));
  if (workspace_bytes > workspace_bytes_) {
    workspace_bytes_ = workspace_bytes;
    workspace_ = nullptr;
  }
}

void* Program::workspace() {
  if (!workspace_ && workspace_bytes_) workspace_ = allocate(workspace_bytes_, device_);
  return workspace_.get();
}

void Program::run(size_t begin, size_t end) {
  if (begin > end || end > entries_.size())
    throw std::out_of_range("[Program.run] calls " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of a program of " + std::to_string(entries_.size()));
  for (size_t i = begin; i < end; ++i) run_call(entries_[i], device_, workspace(), workspace_bytes_);
}

std::vector<double> Program::time() {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (const Entry& entry : entries_) {
    const auto start = Clock::now();
    run_call(entry, device_, workspace(), workspace_bytes_);
    if (device_) device_->synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

Program*& Program::recording() {
  thread_local Program* program = nullptr;
  return program;
}

}  // namespace pyconv
