#include "geometry.h"

#include <algorithm>

#include "call.h"

namespace pyconv {

namespace {

bool is_sequence_of_two(const py::handle& value) {
  if (!PySequence_Check(value.ptr()) || py::isinstance<py::str>(value)) return false;
  const Py_ssize_t length = PySequence_Size(value.ptr());
  if (length < 0) PyErr_Clear();  // an array of no dimensions
  return length == 2;
}

py::object item(const py::handle& value, int i) {
  return value[py::int_(i)];
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
  const auto whole = [&](const py::handle& number) { return integer(op, name, number, INT64_MIN, INT64_MAX); };
  if (is_integer(value)) {
    pair.h = pair.w = whole(value);
  } else if (is_sequence_of_two(value) && is_integer(item(value, 0)) && is_integer(item(value, 1))) {
    pair = {whole(item(value, 0)), whole(item(value, 1))};
  } else {
    fail(op, name, " is ", shown(value), ", expected an integer or two of them (height, width)");
  }
  if (pair.h < least || pair.w < least) fail(op, name, " is ", shown(value), ", expected at least ", least);
  if (pair.h > kMostAttribute || pair.w > kMostAttribute)
    fail(op, name, " is ", shown(value), ", expected at most ", kMostAttribute);
  return pair;
}

Padding parse_padding(const char* op, const py::handle& value, Pair size, Pair kernel, Pair stride,
                      Pair dilation) {
  if (py::isinstance<py::str>(value)) {
    const std::string name = word(op, "padding", value, "");
    if (name == "valid") return {0, 0, 0, 0};
    if (name == "same") return same_padding(size, kernel, stride, dilation);
  } else if (is_integer(value)) {
    const Pair pair = parse_pair(op, "padding", value, 0);
    return {pair.h, pair.h, pair.w, pair.w};
  } else if (is_sequence_of_two(value)) {
    const py::object h = item(value, 0), w = item(value, 1);
    if (is_integer(h) && is_integer(w)) {
      const Pair pair = parse_pair(op, "padding", value, 0);
      return {pair.h, pair.h, pair.w, pair.w};
    }
    if (is_sequence_of_two(h) && is_sequence_of_two(w)) {
      const Pair rows = parse_pair(op, "padding", h, 0), columns = parse_pair(op, "padding", w, 0);
      return {rows.h, rows.w, columns.h, columns.w};
    }
  }
  fail(op, "padding is ", shown(value),
       ", expected 'valid', 'same', an integer, (height, width) or ((top, bottom), (left, right))");
}

namespace {

// Window and stride along one side of an image.
struct Slide {
  int64_t kernel, pad_before, pad_after;
  int64_t &size, &stride, &dilation, &output;

  int64_t padded() const { return size + pad_before + pad_after; }
  int64_t span() const { return dilation * (kernel - 1) + 1; }  // both factors are below 2^31

  void set(bool ceil_mode) {
    output = window_output_size(size, kernel, stride, pad_before, pad_after, dilation, ceil_mode);
    // Steps over the whole image are never taken or all the same; kernels multiply them by a row's size. The
    // constant leaves small ones as they are: kernels ask for strides and dilations of 1 and 2 by value.
    const int64_t most = std::max<int64_t>(padded(), 4);
    stride = std::min(stride, most);
    dilation = std::min(dilation, most);
  }
};

// Fills in OH, OW and checks that windows fit, and that x with its padding is within bounds.
template <class S>
void set_output(const char* op, const char* what, S& s, int64_t C, bool ceil_mode) {
  check_extents(op, "x with its padding",
                {s.N, s.H + s.pad_top + s.pad_bottom, s.W + s.pad_left + s.pad_right, C});
  Slide h{s.KH, s.pad_top, s.pad_bottom, s.H, s.stride_h, s.dilation_h, s.OH};
  Slide w{s.KW, s.pad_left, s.pad_right, s.W, s.stride_w, s.dilation_w, s.OW};
  const int64_t span_h = h.span(), span_w = w.span();
  h.set(ceil_mode), w.set(ceil_mode);
  if (s.OH < 1 || s.OW < 1)
    fail(op, "the ", what, " spans ", span_h, " x ", span_w, " pixels, x has only ", h.padded(), " x ", w.padded(),
         " with its padding");
}

template <class S>
void set_geometry(S& s, Pair kernel, Pair stride, Pair dilation, const Padding& pad) {
  s.KH = kernel.h, s.KW = kernel.w;
  s.stride_h = stride.h, s.stride_w = stride.w;
  s.dilation_h = dilation.h, s.dilation_w = dilation.w;
  s.pad_top = pad.top, s.pad_bottom = pad.bottom, s.pad_left = pad.left, s.pad_right = pad.right;
}

}  // namespace

Conv2dShape conv2d_shape(const char* op, const Shape& x, const Shape& weight, const Conv2dOptions& options) {
  if (x.size() != 4) fail(op, "x has shape ", shape_text(x), ", expected 4 dimensions: (N, H, W, C_in)");
  if (weight.size() != 4)
    fail(op, "weight has shape ", shape_text(weight), ", expected 4 dimensions: (KH, KW, C_in / groups, C_out)");
  check_extents(op, "x", x);
  check_extents(op, "weight", weight);
  Conv2dShape s{};
  s.N = x[0], s.H = x[1], s.W = x[2], s.C_in = x[3];
  s.C_out = weight[3];
  const Pair kernel{weight[0], weight[1]};
  const int64_t groups = s.groups = integer(op, "groups", options.groups, 1, kMostAttribute);
  if (kernel.h < 1 || kernel.w < 1 || s.C_out < 1 || s.C_in < 1)
    fail(op, "weight has shape ", shape_text(weight), " and x has shape ", shape_text(x),
         ", expected a kernel and channel counts of at least 1");
  if (kernel.h > kMostAttribute || kernel.w > kMostAttribute)
    fail(op, "weight has shape ", shape_text(weight), ", expected a kernel of at most ", kMostAttribute);
  if (s.C_in % groups || s.C_out % groups)
    fail(op, "groups is ", groups, ", expected a divisor of x's ", s.C_in, " and weight's ", s.C_out, " channels");
  if (product(weight[2], groups) != s.C_in)
    fail(op, "weight has ", weight[2], " input channels, x has ", s.C_in,
         groups > 1 ? " in " + std::to_string(groups) + " groups" : "");
  const Pair stride = parse_pair(op, "stride", options.stride, 1),
             dilation = parse_pair(op, "dilation", options.dilation, 1);
  set_geometry(s, kernel, stride, dilation,
               parse_padding(op, options.padding, {s.H, s.W}, kernel, stride, dilation));
  set_output(op, "kernel", s, s.C_in, false);
  check_extents(op, "y", {s.N, s.OH, s.OW, s.C_out});
  return s;
}

Pool2dShape pool2d_shape(const char* op, const Shape& x, const py::handle& window, const py::handle& stride,
                         const py::handle& padding, const py::handle& dilation, bool ceil_mode) {
  if (x.size() != 4) fail(op, "x has shape ", shape_text(x), ", expected 4 dimensions: (N, H, W, C)");
  check_extents(op, "x", x);
  Pool2dShape s{};
  s.N = x[0], s.H = x[1], s.W = x[2], s.C = x[3];
  const Pair kernel = parse_pair(op, "window", window, 1);
  const Pair strides = stride.is_none() ? kernel : parse_pair(op, "stride", stride, 1);
  const Pair dilations = parse_pair(op, "dilation", dilation, 1);
  set_geometry(s, kernel, strides, dilations, parse_padding(op, padding, {s.H, s.W}, kernel, strides, dilations));
  set_output(op, "window", s, s.C, ceil_mode);
  check_extents(op, "y", {s.N, s.OH, s.OW, s.C});
  return s;
}

}  // namespace pyconv
