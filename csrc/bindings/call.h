// What every binding does between its checks and its return: run a kernel, now or in a recorded program.
#pragma once

#include <initializer_list>

#include "../backends.h"
#include "../memory.h"
#include "../program.h"
#include "arguments.h"
#include "tensor.h"

namespace pyconv {

// What a binding is about to call, on which backend: the one of its first argument.
struct Op {
  const char* name;
  const Backend* backend;
  const Kernels* kernels;
  // Whether all that it writes is new: then nobody misses what an interruption leaves undone. `output` and
  // `submit` keep account; a binding that writes what it was given without `output` says so.
  mutable bool makes = false, writes_given = false;

  Op(const char* op, const Backend& on) : name(op), backend(&on), kernels(on.kernels) {}
  Op(const char* op, const Tensor& first) : Op(op, first.device ? *first.device : host_backend()) {}
  operator const char*() const { return name; }
};

// A context for the entries that a plan is made with: they look at how to compute alone.
inline Context planning_context(Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto,
                                bool weights_are_prepared = false) {
  return {nullptr, precision(), algorithm, weights_are_prepared, nullptr, 0};
}

// Bytes of workspace that a call asks for.
inline size_t workspace(const Op& op, const Conv2dShape& shape, Conv2dPass pass,
                        Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto, bool weights_are_prepared = false) {
  return op.kernels->conv2d_workspace(planning_context(algorithm, weights_are_prepared), shape, pass);
}
inline size_t workspace(const Op& op, const BatchNormShape& shape) {
  return op.kernels->batch_norm_workspace(planning_context(), shape);
}

// Appends the call to the program that is recording, or runs it at once without the GIL; a signal's exception ends
// it then where all outputs are new. `tensors` are what the call reads and writes, all on the op's device: a
// program keeps them alive.
void submit(const Op& op, std::initializer_list<const Tensor*> tensors, BoundKernel call,
            size_t workspace_bytes = 0, Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto);

// ---- checks. Every message reads `[op] what was expected, and what came`.

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

// The tensor to write to: `out` where it was given (checked; writable), else a new one on the op's device.
Tensor output(const Op& op, const char* name, const OptionalTensor& out, const Shape& shape,
              DType dtype = DType::kFloat32);

}  // namespace pyconv
