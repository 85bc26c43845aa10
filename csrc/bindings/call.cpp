#include "call.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

#include "../interruptible.h"
#include "../sizes.h"
#include "gil.h"

namespace pyconv {

namespace {

// Raises what a signal's handler raises: KeyboardInterrupt, as a rule.
void look_for_signals() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// Where Python runs its signal handlers.
bool is_main_thread() {
  return syscall(SYS_gettid) == getpid();
}

std::shared_ptr<void> workspace_of(const Op& op, size_t bytes, const DeviceFunctions* device) {
  if (!bytes) return nullptr;
  try {
    return allocate(bytes, device);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message(op, "the workspace takes ", bytes, " bytes, which cannot be had"));
  }
}

}  // namespace

void Touched::refuse_dtype(size_t parameter, const Tensor& tensor, DType expected) const {
  check_dtype(op_, parameter_name(op_, parameter).c_str(), tensor, expected);
  std::abort();  // it throws
}

void Touched::refuse_writing(size_t parameter) const {
  fail(op_, parameter_name(op_, parameter), " is read-only, expected memory to write to");
}

void Touched::refuse_device(const Tensor& tensor) const {
  fail(op_, "arrays lie on ", device_name(op_.backend), " and on ", device_name(tensor.device),
       ", expected one device");
}

std::vector<Bindings::Add*>& Bindings::all() {
  static std::vector<Add*> all;
  return all;
}

void submit_bound(const Op& op, const Needs& needs, const Touched& touched, BoundKernel kernel) {
  const DeviceFunctions* device = op.backend->device;
  const size_t workspace_bytes = needs.workspace_bytes;
  Program::Entry entry{op, std::move(kernel), needs.algorithm, precision()};
  if (Program* program = Program::recording()) {
    if (workspace_bytes > kMostBytes) workspace_of(op, workspace_bytes, device);  // which fails
    std::vector<std::shared_ptr<void>> owners;
    for (const Tensor* tensor : touched) owners.push_back(tensor->owner);
    program->append(std::move(entry), device, workspace_bytes, std::move(owners));
    return;
  }
  const std::shared_ptr<void> workspace = workspace_of(op, workspace_bytes, device);
  const GilRelease release;
  std::optional<Interruptible> interruptible;
  if (op.makes && !op.writes_given && is_main_thread()) interruptible.emplace(look_for_signals);
  run_call(entry, device ? device->stream() : nullptr, workspace.get(), workspace_bytes);
}

void check_dtype(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  if (tensor.dtype != dtype)
    throw py::type_error(
        message(op, name, " has dtype ", dtype_name(tensor.dtype), ", expected ", dtype_name(dtype)));
}

void check_ndim(const char* op, const char* name, const Tensor& tensor, int64_t ndim, const char* layout) {
  if (tensor.ndim() != ndim)
    fail(op, name, " has shape ", shape_text(tensor.shape), ", expected ", ndim, " dimensions: ", layout);
}

void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& shape, DType dtype) {
  check_dtype(op, name, tensor, dtype);
  if (tensor.shape != shape)
    fail(op, name, " has shape ", shape_text(tensor.shape), ", expected ", shape_text(shape));
}

void check_shape(const char* op, const char* name, const OptionalTensor& tensor, const Shape& shape, DType dtype) {
  if (tensor) check_shape(op, name, *tensor, shape, dtype);
}

Tensor output(const Op& op, const char* name, const OptionalTensor& out, const Shape& shape, DType dtype) {
  (out ? op.writes_given : op.makes) = true;
  if (!out) return empty(shape, dtype, op.backend->device ? op.backend : nullptr, op, name);
  check_shape(op, name, *out, shape, dtype);
  if (out->read_only) fail(op, name, " is read-only, expected memory to write to");
  return *out;
}

}  // namespace pyconv
