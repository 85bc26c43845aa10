#include "program.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "memory.h"

namespace pyconv {

void run_call(const Program::Entry& entry, const Context& context) {
  const Status status = entry.call(context);
  if (status.message) throw std::runtime_error("[" + std::string(entry.op) + "] " + status.message);
}

void Program::append(Entry entry, size_t workspace_bytes, std::vector<std::shared_ptr<void>> owners) {
  entries_.push_back(std::move(entry));
  for (auto& owner : owners)
    if (owner && std::find(owners_.begin(), owners_.end(), owner) == owners_.end())
      owners_.push_back(std::move(owner));
  if (workspace_bytes > workspace_bytes_) {
    workspace_bytes_ = workspace_bytes;
    workspace_ = nullptr;
  }
}

Context Program::context(const Entry& entry) {
  if (!workspace_ && workspace_bytes_) workspace_ = allocate(workspace_bytes_);
  return {nullptr, Precision::kFloat32, entry.algorithm, workspace_.get(), workspace_bytes_};
}

void Program::run(size_t begin, size_t end) {
  if (begin > end || end > entries_.size())
    throw std::out_of_range("[Program.run] calls " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of a program of " + std::to_string(entries_.size()));
  for (size_t i = begin; i < end; ++i) run_call(entries_[i], context(entries_[i]));
}

std::vector<double> Program::time() {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (const Entry& entry : entries_) {
    const auto start = Clock::now();
    run_call(entry, context(entry));
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

Program*& Program::recording() {
  thread_local Program* program = nullptr;
  return program;
}

}  // namespace pyconv
