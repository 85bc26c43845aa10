// Strides, paddings and dilations as users write them -> Conv2dShape and Pool2dShape.
#pragma once

#include "tensor.h"

namespace pyconv {

struct Pair {
  int64_t h, w;
};

struct Padding {
  int64_t top, bottom, left, right;
};

// An integer, or two of them (height, width), each from `least` to kMostAttribute.
Pair parse_pair(const char* op, const char* name, const py::handle& value, int64_t least);

// "valid", "same" (Keras': output ceil(size / stride), the odd row at the bottom and right), an integer,
// (height, width), or ((top, bottom), (left, right)).
Padding parse_padding(const char* op, const py::handle& value, Pair size, Pair kernel, Pair stride, Pair dilation);

// How a convolution slides: the keyword arguments of all its ops.
struct Conv2dOptions {
  py::object stride, padding, dilation, groups;
};

// Both check that the arrays' sizes are within sizes.h's bounds.
Conv2dShape conv2d_shape(const char* op, const Shape& x, const Shape& weight, const Conv2dOptions& options);

Pool2dShape pool2d_shape(const char* op, const Shape& x, const py::handle& window, const py::handle& stride,
                         const py::handle& padding, const py::handle& dilation, bool ceil_mode);

}  // namespace pyconv
