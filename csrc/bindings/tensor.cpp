#include "tensor.h"

#include <cstring>

#include "../memory.h"
#include "gil.h"

namespace pyconv {

size_t Tensor::bytes() const {
  return static_cast<size_t>(product(size(), static_cast<int64_t>(info(dtype).bytes)));
}

void check_extents(const char* op, const char* name, const Shape& shape) {
  for (const int64_t extent : shape)
    if (extent < 0) fail(op, "negative size in ", name, " ", shape_text(shape));
  if (elements(shape, true) > kMostElements)
    fail(op, name, " is ", shape_text(shape), ", expected at most 2^40 elements, sizes of 0 taken for 1");
}

const DTypeInfo& info(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)];
}

DType dtype_of(const std::string& name, const char* op) {
  std::string names;
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (name == kDTypes[i].name) return static_cast<DType>(i);
    names += (i ? ", " : "") + std::string(kDTypes[i].name);
  }
  throw py::type_error(message(op, "dtype is ", name, ", expected one of ", names));
}

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

Shape contiguous_strides(const Shape& shape, int64_t item) {
  Shape strides(shape.size());
  for (size_t i = shape.size(); i-- > 0; item *= shape[i]) strides[i] = item;
  return strides;
}

const char* device_name(const Backend* device) {
  return device && device->device ? "cuda" : "cpu";
}

void copy(const Tensor& to, const Tensor& from) {
  const DeviceFunctions *target = to.functions(), *source = from.functions();
  const size_t bytes = to.bytes();
  if (!bytes) return;
  Status status = kOk;
  std::optional<GilRelease> release;
  if (target || source) release.emplace();  // it may wait for the device
  if (target && source)
    status = target->copy(to.data, from.data, bytes);
  else if (target)
    status = target->copy_in(to.data, from.data, bytes);
  else if (source)
    status = source->copy_out(to.data, from.data, bytes);
  else
    std::memcpy(to.data, from.data, bytes);
  release.reset();
  if (status.message) throw std::runtime_error("[Tensor] " + std::string(status.message));
}

Tensor moved(const Tensor& tensor, const Backend* device) {
  if (tensor.device == device) return tensor;
  Tensor target = empty(tensor.shape, tensor.dtype, device);
  copy(target, tensor);
  return target;
}

Tensor empty(Shape shape, DType dtype, const Backend* device, const char* op, const char* name) {
  check_extents(op, name, shape);
  Tensor tensor;
  tensor.device = device;
  tensor.shape = std::move(shape);
  tensor.dtype = dtype;
  try {
    tensor.owner = allocate(tensor.bytes(), tensor.functions());
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message(op, name, " of shape ", shape_text(tensor.shape), " takes ", tensor.bytes(),
                              " bytes, which cannot be had"));
  }
  tensor.data = tensor.owner.get();
  return tensor;
}

}  // namespace pyconv
