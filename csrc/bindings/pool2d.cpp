#include <pybind11/stl.h>

#include "call.h"
#include "geometry.h"

namespace pyconv {

namespace {

// The keyword arguments that say how the window slides.
struct Options {
  py::object stride, padding, dilation, ceil_mode;
};

Pool2dShape shape_of(const char* op, const Shape& x, const py::object& window, const Options& o) {
  return pool2d_shape(op, x, window, o.stride, o.padding, o.dilation, flag(op, "ceil_mode", o.ceil_mode));
}

// Of max pooling: argmax is an offset in the window, of 32 bits.
Pool2dShape max_shape_of(const char* op, const Shape& x, const py::object& window, const Options& o) {
  const Pool2dShape s = shape_of(op, x, window, o);
  if (product(s.KH, s.KW) > INT32_MAX)
    fail(op, "window is ", shown(window), ", expected at most ", INT32_MAX, " elements");
  return s;
}

DType argmax_dtype(const Pool2dShape& s) {
  return argmax_is_uint8(s) ? DType::kUint8 : DType::kInt32;
}

std::pair<Tensor, OptionalTensor> max_pool2d(const Tensor& x, const py::object& window, const py::object& stride,
                                             const py::object& padding, const py::object& dilation,
                                             const py::object& ceil_mode, bool return_argmax,
                                             const OptionalTensor& y_out, const OptionalTensor& argmax_out) {
  const Op op("max_pool2d", x);
  const Pool2dShape s = max_shape_of(op, x.shape, window, {stride, padding, dilation, ceil_mode});
  const Shape shape{s.N, s.OH, s.OW, s.C};
  const Tensor y = output(op, "y", y_out, shape);
  const OptionalTensor argmax =
      return_argmax ? OptionalTensor(output(op, "argmax", argmax_out, shape, argmax_dtype(s))) : std::nullopt;
  submit(op, op.kernels->max_pool2d, s, x, y, argmax);
  return {y, argmax};
}

Tensor max_pool2d_backward(const Tensor& dy, const Tensor& argmax, const py::object& x_shape_given,
                           const py::object& window, const py::object& stride, const py::object& padding,
                           const py::object& dilation, const py::object& ceil_mode, const OptionalTensor& out) {
  const Op op("max_pool2d_backward", dy);
  const Shape x_shape = sizes(op, "x_shape", x_shape_given);
  const Pool2dShape s = max_shape_of(op, x_shape, window, {stride, padding, dilation, ceil_mode});
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C});
  check_shape(op, "argmax", argmax, dy.shape, argmax_dtype(s));
  const Tensor dx = output(op, "dx", out, x_shape);
  submit(op, op.kernels->max_pool2d_backward, s, dy, argmax, dx);
  return dx;
}

Tensor avg_pool2d(const Tensor& x, const py::object& window, const py::object& stride, const py::object& padding,
                  const py::object& ceil_mode, const py::object& count_include_pad, const OptionalTensor& out) {
  const Op op("avg_pool2d", x);
  Pool2dShape s = shape_of(op, x.shape, window, {stride, padding, py::int_(1), ceil_mode});
  s.count_include_pad = flag(op, "count_include_pad", count_include_pad);
  const Tensor y = output(op, "y", out, {s.N, s.OH, s.OW, s.C});
  submit(op, op.kernels->avg_pool2d, s, x, y);
  return y;
}

Tensor avg_pool2d_backward(const Tensor& dy, const py::object& x_shape_given, const py::object& window,
                           const py::object& stride, const py::object& padding, const py::object& ceil_mode,
                           const py::object& count_include_pad, const OptionalTensor& out) {
  const Op op("avg_pool2d_backward", dy);
  const Shape x_shape = sizes(op, "x_shape", x_shape_given);
  Pool2dShape s = shape_of(op, x_shape, window, {stride, padding, py::int_(1), ceil_mode});
  s.count_include_pad = flag(op, "count_include_pad", count_include_pad);
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C});
  const Tensor dx = output(op, "dx", out, x_shape);
  submit(op, op.kernels->avg_pool2d_backward, s, dy, dx);
  return dx;
}

py::tuple pool2d_output_shape(const py::object& x_shape, const py::object& window, const py::object& stride,
                              const py::object& padding, const py::object& dilation, const py::object& ceil_mode) {
  constexpr const char* op = "pool2d_output_shape";
  const Pool2dShape s =
      shape_of(op, sizes(op, "x_shape", x_shape), window, {stride, padding, dilation, ceil_mode});
  return py::make_tuple(s.N, s.OH, s.OW, s.C);
}

const Bindings pool2d_bindings = [](py::module_& module) {
  const auto stride = none("stride"), padding = py::arg("padding") = 0, dilation = py::arg("dilation") = 1,
             ceil_mode = py::arg("ceil_mode") = false, count_include_pad = py::arg("count_include_pad") = true;
  module.def("max_pool2d", max_pool2d, py::arg("x"), py::arg("window"), py::kw_only(), stride, padding, dilation,
             ceil_mode, py::arg("return_argmax") = true, none("y"), none("argmax"));
  module.def("max_pool2d_backward", max_pool2d_backward, py::arg("dy"), py::arg("argmax"), py::arg("x_shape"),
             py::arg("window"), py::kw_only(), stride, padding, dilation, ceil_mode, none("dx"));
  module.def("avg_pool2d", avg_pool2d, py::arg("x"), py::arg("window"), py::kw_only(), stride, padding, ceil_mode,
             count_include_pad, none("y"));
  module.def("avg_pool2d_backward", avg_pool2d_backward, py::arg("dy"), py::arg("x_shape"), py::arg("window"),
             py::kw_only(), stride, padding, ceil_mode, count_include_pad, none("dx"));
  module.def(
      "pool2d_argmax_dtype",
      [](const py::object& window) {
        const Pair pair = parse_pair("max_pool2d", "window", window, 1);
        Pool2dShape s{};
        s.KH = pair.h, s.KW = pair.w;
        return dtype_name(argmax_dtype(s));
      },
      py::arg("window"));
  module.def("pool2d_output_shape", pool2d_output_shape, py::arg("x_shape"), py::arg("window"), py::kw_only(),
             stride, padding, dilation, ceil_mode);
};

}  // namespace

}  // namespace pyconv
