// What every binding does between its checks and its return: run a kernel, now or in a recorded program.
#pragma once

#include <initializer_list>
#include <sstream>

#include "../backends.h"
#include "../memory.h"
#include "../program.h"
#include "tensor.h"

namespace pyconv {

// A context for the `_workspace` entries, which look at the algorithm and the precision alone.
inline Context planning_context(Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto) {
  return {nullptr, Precision::kFloat32, algorithm, nullptr, 0};
}

// Appends the call to the program that is recording, or runs it at once without the GIL. `tensors` are what
// the call reads and writes: a program keeps them alive.
template <class Function>
void submit(const char* op, std::initializer_list<const Tensor*> tensors, Function call,
            size_t workspace_bytes = 0, Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto) {
  Program::Entry entry{op, std::move(call), algorithm};
  if (Program* program = Program::recording()) {
    std::vector<std::shared_ptr<void>> owners;
    for (const Tensor* tensor : tensors)
      if (tensor) owners.push_back(tensor->owner);
    program->append(std::move(entry), workspace_bytes, std::move(owners));
    return;
  }
  const std::shared_ptr<void> workspace = workspace_bytes ? allocate(workspace_bytes) : nullptr;
  const py::gil_scoped_release release;
  run_call(entry, {nullptr, Precision::kFloat32, algorithm, workspace.get(), workspace_bytes});
}

// ---- checks. Every message reads `[op] what was expected, and what came`.

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::ostringstream text;
  text << "[" << op << "] ";
  (text << ... << parts);
  throw py::value_error(text.str());
}

inline const Tensor* pointer(const OptionalTensor& tensor) {
  return tensor ? &*tensor : nullptr;
}

template <class T = float>
T* data_or_null(const OptionalTensor& tensor) {
  return tensor ? tensor->as<T>() : nullptr;
}

void check_dtype(const char* op, const char* name, const Tensor& tensor, DType dtype);
void check_ndim(const char* op, const char* name, const Tensor& tensor, int64_t ndim, const char* layout);
void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& shape,
                 DType dtype = DType::kFloat32);
void check_shape(const char* op, const char* name, const OptionalTensor& tensor, const Shape& shape,
                 DType dtype = DType::kFloat32);

// The tensor to write to: `out` where it was given (checked; writable), else a new one.
Tensor output(const char* op, const char* name, const OptionalTensor& out, const Shape& shape,
              DType dtype = DType::kFloat32);

}  // namespace pyconv
