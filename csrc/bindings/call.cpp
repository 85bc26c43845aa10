#include "call.h"

namespace pyconv {

void check_dtype(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  if (tensor.dtype == dtype) return;
  std::ostringstream text;
  text << "[" << op << "] " << name << " has dtype " << dtype_name(tensor.dtype) << ", expected "
       << dtype_name(dtype);
  throw py::type_error(text.str());
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

Tensor output(const char* op, const char* name, const OptionalTensor& out, const Shape& shape, DType dtype) {
  if (!out) return empty(shape, dtype);
  check_shape(op, name, *out, shape, dtype);
  if (out->read_only) fail(op, name, " is read-only, expected memory to write to");
  return *out;
}

}  // namespace pyconv
