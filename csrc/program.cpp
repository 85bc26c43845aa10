#include "program.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
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

void run_call(const Program::Entry& entry, void* stream, void* workspace, size_t workspace_bytes) {
  Status status = kOk;
  try {
    status = entry.call({stream, entry.precision, entry.algorithm, false, workspace, workspace_bytes});
  } catch (const std::bad_alloc& error) {
    throw OutOfMemory("[" + std::string(entry.op) + "] scratch memory cannot be had: " + error.what());
  }
  if (status.message) throw std::runtime_error("[" + std::string(entry.op) + "] " + status.message);
}

Program::~Program() {
  for (const auto& [range, graph] : graphs_)
    if (graph) device_->destroy(graph);
}

void Program::check(Status status) const {
  if (status.message) throw std::runtime_error("[Program] " + std::string(status.message));
}

void Program::append(Entry entry, const DeviceFunctions* device, size_t workspace_bytes,
                     std::vector<std::shared_ptr<void>> owners) {
  if (entries_.empty()) device_ = device;
  if (device != device_)
    throw std::runtime_error("[" + std::string(entry.op) +
                             "] is on another device than the program's other calls");
  if (!graphs_.empty()) throw std::logic_error("[Program] a program that has run takes no more calls");
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

void Program::enqueue(size_t begin, size_t end, void* stream) {
  for (size_t i = begin; i < end; ++i) run_call(entries_[i], stream, workspace(), workspace_bytes_);
}

void Program::run(size_t begin, size_t end) {
  if (begin > end || end > entries_.size())
    throw std::out_of_range("[Program.run] calls " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of a program of " + std::to_string(entries_.size()));
  if (!device_) return enqueue(begin, end, nullptr);
  const auto [found, first] = graphs_.try_emplace({begin, end}, nullptr);
  if (first) return enqueue(begin, end, device_->stream());  // which may allocate, as a capture may not
  if (!found->second) {
    void* stream = nullptr;
    check(device_->begin_capture(&stream));
    try {
      enqueue(begin, end, stream);
    } catch (...) {  // the stream has to end its capture
      void* graph = nullptr;
      if (!device_->end_capture(stream, &graph).message) device_->destroy(graph);
      throw;
    }
    check(device_->end_capture(stream, &found->second));
  }
  check(device_->replay(found->second));
}

std::vector<double> Program::time() {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (const Entry& entry : entries_) {
    const auto start = Clock::now();
    run_call(entry, device_ ? device_->stream() : nullptr, workspace(), workspace_bytes_);
    if (device_) check(device_->synchronize());
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

Program*& Program::recording() {
  thread_local Program* program = nullptr;
  return program;
}

}  // namespace pyconv
