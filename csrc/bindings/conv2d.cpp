#include <pybind11/stl.h>

#include "call.h"
#include "geometry.h"

namespace pyconv {

namespace {

constexpr const char* kAlgorithms = "'auto', 'direct', 'gemm', 'winograd_f2x2' or 'winograd_f4x4'";

Conv2dAlgorithm algorithm_of(const char* op, const py::object& given, const Conv2dShape& s) {
  const std::string name = word(op, "algorithm", given, kAlgorithms);
  if (name == "auto") return Conv2dAlgorithm::kAuto;
  if (name == "direct") return Conv2dAlgorithm::kDirect;
  if (name == "gemm") return Conv2dAlgorithm::kGemm;
  if (name.rfind("winograd_", 0) == 0 && !fits_winograd(s))
    fail(op, "algorithm is ", shown(given),
         ", but winograd needs a 3x3 kernel, stride 1, dilation 1, groups 1 and padding of at most 2");
  if (name == "winograd_f2x2") return Conv2dAlgorithm::kWinogradF2x2;
  if (name == "winograd_f4x4") return Conv2dAlgorithm::kWinogradF4x4;
  fail(op, "algorithm is ", shown(given), ", expected ", kAlgorithms);
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const py::object& stride,
              const py::object& padding, const py::object& dilation, const py::object& groups,
              const py::object& algorithm_name, const OptionalTensor& out) {
  const Op op("conv2d", x);
  const Conv2dShape s = conv2d_shape(op, x.shape, weight.shape, {stride, padding, dilation, groups});
  check_shape(op, "bias", bias, {s.C_out});
  const Conv2dAlgorithm algorithm = algorithm_of(op, algorithm_name, s);
  const Tensor y = output(op, "y", out, {s.N, s.OH, s.OW, s.C_out});
  submit(op, needs(op, s, Conv2dPass::kForward, algorithm), op.kernels->conv2d, s, x, weight, bias, y);
  return y;
}

Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const py::object& x_shape_given,
                             const py::object& stride, const py::object& padding, const py::object& dilation,
                             const py::object& groups, const py::object& algorithm_name,
                             const OptionalTensor& out) {
  const Op op("conv2d_backward_input", dy);
  const Shape x_shape = sizes(op, "x_shape", x_shape_given);
  const Conv2dShape s = conv2d_shape(op, x_shape, weight.shape, {stride, padding, dilation, groups});
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C_out});
  const Conv2dAlgorithm algorithm = algorithm_of(op, algorithm_name, s);
  const Tensor dx = output(op, "dx", out, x_shape);
  submit(op, needs(op, s, Conv2dPass::kBackwardInput, algorithm), op.kernels->conv2d_backward_input, s, dy, weight,
         dx);
  return dx;
}

std::pair<Tensor, OptionalTensor> conv2d_backward_weight(const Tensor& dy, const Tensor& x,
                                                         const py::object& weight_shape_given,
                                                         const py::object& stride, const py::object& padding,
                                                         const py::object& dilation, const py::object& groups,
                                                         const py::object& algorithm_name, bool with_bias,
                                                         const OptionalTensor& dweight_out,
                                                         const OptionalTensor& dbias_out) {
  const Op op("conv2d_backward_weight", dy);
  const Shape weight_shape = sizes(op, "weight_shape", weight_shape_given);
  const Conv2dShape s = conv2d_shape(op, x.shape, weight_shape, {stride, padding, dilation, groups});
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C_out});
  const Conv2dAlgorithm algorithm = algorithm_of(op, algorithm_name, s);
  const Tensor dweight = output(op, "dweight", dweight_out, weight_shape);
  const OptionalTensor dbias =
      with_bias ? OptionalTensor(output(op, "dbias", dbias_out, {s.C_out})) : std::nullopt;
  submit(op, needs(op, s, Conv2dPass::kBackwardWeight, algorithm), op.kernels->conv2d_backward_weight, s, dy, x,
         dweight, dbias);
  return {dweight, dbias};
}

py::tuple conv2d_output_shape(const py::object& x_shape, const py::object& weight_shape, const py::object& stride,
                              const py::object& padding, const py::object& dilation, const py::object& groups) {
  constexpr const char* op = "conv2d";
  const Conv2dShape s = conv2d_shape(op, sizes(op, "x_shape", x_shape), sizes(op, "weight_shape", weight_shape),
                                     {stride, padding, dilation, groups});
  return py::make_tuple(s.N, s.OH, s.OW, s.C_out);
}

py::tuple window_padding(const py::object& sizes_given, const py::object& kernel, const py::object& stride,
                         const py::object& padding, const py::object& dilation) {
  constexpr const char* op = "window_padding";
  const Pair size = parse_pair(op, "sizes", sizes_given, 0);
  const Padding p = parse_padding(op, padding, size, parse_pair(op, "kernel", kernel, 1),
                                  parse_pair(op, "stride", stride, 1), parse_pair(op, "dilation", dilation, 1));
  return py::make_tuple(py::make_tuple(p.top, p.bottom), py::make_tuple(p.left, p.right));
}

const Bindings conv2d_bindings = [](py::module_& module) {
  const auto stride = py::arg("stride") = 1, padding = py::arg("padding") = 0, dilation = py::arg("dilation") = 1,
             groups = py::arg("groups") = 1, algorithm = py::arg("algorithm") = "auto";
  module.def("conv2d", conv2d, py::arg("x"), py::arg("weight"), none("bias"), py::kw_only(), stride, padding,
             dilation, groups, algorithm, none("y"));
  module.def("conv2d_backward_input", conv2d_backward_input, py::arg("dy"), py::arg("weight"), py::arg("x_shape"),
             py::kw_only(), stride, padding, dilation, groups, algorithm, none("dx"));
  module.def("conv2d_backward_weight", conv2d_backward_weight, py::arg("dy"), py::arg("x"),
             py::arg("weight_shape"), py::kw_only(), stride, padding, dilation, groups, algorithm,
             py::arg("bias") = true, none("dweight"), none("dbias"));
  module.def("window_padding", window_padding, py::arg("sizes"), py::arg("kernel"), py::kw_only(), stride, padding,
             dilation);
  module.def("conv2d_output_shape", conv2d_output_shape, py::arg("x_shape"), py::arg("weight_shape"),
             py::kw_only(), stride, padding, dilation, groups);
};

}  // namespace

}  // namespace pyconv
