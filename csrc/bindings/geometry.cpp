#include "geometry.h"

#include <algorithm>

#include "call.h"

namespace pyconv {

namespace {

bool is_integer(const py::handle& value) {
  return PyIndex_Check(value.ptr()) && !PyBool_Check(value.ptr());
}

bool is_sequence_of_two(const py::handle& value) {
  return py::isinstance<py::sequence>(value) && !py::isinstance<py::str>(value) && py::len(value) == 2;
}

int64_t integer(const py::handle& value) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  return py::cast<int64_t>(index);
}

std::string text(const py::handle& value) {
  return py::cast<std::string>(py::repr(value));
}

Padding same_padding(Pair size, Pair kernel, Pair stride, Pair dilation) {
  const auto total = [](int64_t size, int64_t kernel, int64_t stride, int64_t dilation) {
    const int64_t out = (size + stride - 1) / stride;
    return std::max<int64_t>(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size);
  };
  const int64_t h = total(size.h, kernel.h, stride.h, dilation.h);
  const int64_t w = total(size.w, kernel.w, stride.w, dilation.w);
  return {h / 2, h - h / 2, w / 2, w - w / 2};
}

}  // namespace

Pair parse_pair(const char* op, const char* name, const py::handle& value, int64_t least) {
  Pair pair{};
  if (is_integer(value)) {
    pair.h = pair.w = integer(value);
  } else if (is_sequence_of_two(value) && is_integer(value[py::int_(0)]) && is_integer(value[py::int_(1)])) {
    pair = {integer(value[py::int_(0)]), integer(value[py::int_(1)])};
  } else {
    fail(op, name, " is ", text(value), ", expected an integer or two of them (height, width)");
  }
  if (pair.h < least || pair.w < least || pair.h > (int64_t{1} << 30) || pair.w > (int64_t{1} << 30))
    fail(op, name, " is ", text(value), ", expected at least ", least);
  return pair;
}

Padding parse_padding(const char* op, const py::handle& value, Pair size, Pair kernel, Pair stride,
                      Pair dilation) {
  if (py::isinstance<py::str>(value)) {
    const std::string name = py::cast<std::string>(value);
    if (name == "valid") return {0, 0, 0, 0};
    if (name == "same") return same_padding(size, kernel, stride, dilation);
  } else if (is_integer(value)) {
    const Pair pair = parse_pair(op, "padding", value, 0);
    return {pair.h, pair.h, pair.w, pair.w};
  } else if (is_sequence_of_two(value)) {
    const py::object h = value[py::int_(0)], w = value[py::int_(1)];
    if (is_integer(h) && is_integer(w)) {
      const Pair pair = parse_pair(op, "padding", value, 0);
      return {pair.h, pair.h, pair.w, pair.w};
    }
    if (is_sequence_of_two(h) && is_sequence_of_two(w)) {
      const Pair rows = parse_pair(op, "padding", h, 0), columns = parse_pair(op, "padding", w, 0);
      return {rows.h, rows.w, columns.h, columns.w};
    }
  }
  fail(op, "padding is ", text(value),
       ", expected 'valid', 'same', an integer, (height, width) or ((top, bottom), (left, right))");
}

Conv2dShape conv2d_shape(const char* op, const Shape& x, const Shape& weight, const Conv2dOptions& options) {
  if (x.size() != 4) fail(op, "x has shape ", shape_text(x), ", expected 4 dimensions: (N, H, W, C_in)");
  if (weight.size() != 4)
    fail(op, "weight has shape ", shape_text(weight), ", expected 4 dimensions: (KH, KW, C_in / groups, C_out)");
  Conv2dShape s{};
  s.N = x[0], s.H = x[1], s.W = x[2], s.C_in = x[3];
  s.KH = weight[0], s.KW = weight[1], s.C_out = weight[3];
  const int64_t groups = s.groups = options.groups;
  if (groups < 1) fail(op, "groups is ", groups, ", expected at least 1");
  if (s.KH < 1 || s.KW < 1 || s.C_out < 1 || s.C_in < 1)
    fail(op, "weight has shape ", shape_text(weight), " and x has shape ", shape_text(x),
         ", expected a kernel and channel counts of at least 1");
  if (s.C_in % groups || s.C_out % groups)
    fail(op, "groups is ", groups, ", expected a divisor of x's ", s.C_in, " and weight's ", s.C_out, " channels");
  if (weight[2] * groups != s.C_in)
    fail(op, "weight has ", weight[2], " input channels, x has ", s.C_in,
         groups > 1 ? " in " + std::to_string(groups) + " groups" : "");
  const Pair strides = parse_pair(op, "stride", options.stride, 1),
             dilations = parse_pair(op, "dilation", options.dilation, 1);
  const Padding pad = parse_padding(op, options.padding, {s.H, s.W}, {s.KH, s.KW}, strides, dilations);
  s.stride_h = strides.h, s.stride_w = strides.w;
  s.dilation_h = dilations.h, s.dilation_w = dilations.w;
  s.pad_top = pad.top, s.pad_bottom = pad.bottom, s.pad_left = pad.left, s.pad_right = pad.right;
  s.OH = window_output_size(s.H, s.KH, s.stride_h, s.pad_top, s.pad_bottom, s.dilation_h, false);
  s.OW = window_output_size(s.W, s.KW, s.stride_w, s.pad_left, s.pad_right, s.dilation_w, false);
  if (s.OH < 1 || s.OW < 1)
    fail(op, "the kernel spans ", s.dilation_h * (s.KH - 1) + 1, " x ", s.dilation_w * (s.KW - 1) + 1,
         " pixels, x has only ", s.H + s.pad_top + s.pad_bottom, " x ", s.W + s.pad_left + s.pad_right,
         " with its padding");
  return s;
}

Pool2dShape pool2d_shape(const char* op, const Shape& x, const py::handle& window, const py::handle& stride,
                         const py::handle& padding, const py::handle& dilation, bool ceil_mode) {
  if (x.size() != 4) fail(op, "x has shape ", shape_text(x), ", expected 4 dimensions: (N, H, W, C)");
  Pool2dShape s{};
  s.N = x[0], s.H = x[1], s.W = x[2], s.C = x[3];
  const Pair kernel = parse_pair(op, "window", window, 1);
  const Pair strides = stride.is_none() ? kernel : parse_pair(op, "stride", stride, 1);
  const Pair dilations = parse_pair(op, "dilation", dilation, 1);
  const Padding pad = parse_padding(op, padding, {s.H, s.W}, kernel, strides, dilations);
  s.KH = kernel.h, s.KW = kernel.w;
  s.stride_h = strides.h, s.stride_w = strides.w;
  s.dilation_h = dilations.h, s.dilation_w = dilations.w;
  s.pad_top = pad.top, s.pad_bottom = pad.bottom, s.pad_left = pad.left, s.pad_right = pad.right;
  s.OH = window_output_size(s.H, s.KH, s.stride_h, s.pad_top, s.pad_bottom, s.dilation_h, ceil_mode);
  s.OW = window_output_size(s.W, s.KW, s.stride_w, s.pad_left, s.pad_right, s.dilation_w, ceil_mode);
  if (s.OH < 1 || s.OW < 1)
    fail(op, "the window spans ", s.dilation_h * (s.KH - 1) + 1, " x ", s.dilation_w * (s.KW - 1) + 1,
         " pixels, x has only ", s.H + s.pad_top + s.pad_bottom, " x ", s.W + s.pad_left + s.pad_right,
         " with its padding");
  return s;
}

}  // namespace pyconv
