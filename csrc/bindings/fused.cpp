// The fused entries of a backend, which the planner alone calls (pyconv/engine/fusion).
#include <pybind11/stl.h>

#include "geometry.h"
#include "group.h"

namespace pyconv {

namespace {

const FusedKernels& fused(const Op& op) {
  if (!op.backend->fused) fail(op, "the backend ", op.backend->name, " has no fused kernels");
  return *op.backend->fused;
}

const auto kStride = py::arg("stride") = 1, kPadding = py::arg("padding") = 0, kDilation = py::arg("dilation") = 1,
           kGroups = py::arg("groups") = 1;

void check_scale_shift(const Op& op, const ScaleShift& n) {
  if (!n.scale != !n.shift) fail(op, "scale and shift come together, got one of them");
}

Group<ScaleShift> scale_shift_of(const Op& op, const char* name, const py::object& given, int64_t C) {
  auto group = group_of<ScaleShift>(op, name, given, {C, {}});
  check_scale_shift(op, group.value);
  return group;
}

uint32_t conv2d_fusions(const py::object& x_shape, const py::object& weight_shape, const py::object& stride,
                        const py::object& padding, const py::object& dilation, const py::object& groups,
                        bool prepared, const std::string& device) {
  const Op op("conv2d", backend_on(device));
  const Conv2dShape s = conv2d_shape(op, sizes(op, "x_shape", x_shape), sizes(op, "weight_shape", weight_shape),
                                     {stride, padding, dilation, groups});
  const Context context = planning_context(Conv2dAlgorithm::kAuto, prepared);
  return op.backend->fused ? op.backend->fused->conv2d_fusions(context, s) : 0;
}

int64_t conv2d_prepared_size(const py::object& x_shape, const py::object& weight_shape, const py::object& stride,
                             const py::object& padding, const py::object& dilation, const py::object& groups,
                             const std::string& device) {
  const Op op("conv2d_prepare", backend_on(device));
  const Conv2dShape s = conv2d_shape(op, sizes(op, "x_shape", x_shape), sizes(op, "weight_shape", weight_shape),
                                     {stride, padding, dilation, groups});
  return static_cast<int64_t>(fused(op).conv2d_prepared_bytes(planning_context(), s) / sizeof(float));
}

Tensor conv2d_prepare(const Tensor& weight, const py::object& x_shape, const py::object& stride,
                      const py::object& padding, const py::object& dilation, const py::object& groups,
                      const OptionalTensor& out) {
  const Op op("conv2d_prepare", weight);
  const Conv2dShape s =
      conv2d_shape(op, sizes(op, "x_shape", x_shape), weight.shape, {stride, padding, dilation, groups});
  const int64_t floats = conv2d_prepared_size(x_shape, py::cast(weight.shape), stride, padding, dilation, groups,
                                              device_name(op.backend));
  const Tensor prepared = output(op, "prepared", out, {floats});
  submit(op, needs(op, s, Conv2dPass::kForward, Conv2dAlgorithm::kAuto, true), fused(op).conv2d_prepare, s, weight,
         prepared);
  return prepared;
}

OptionalTensor conv2d_fused(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                            const py::object& stride, const py::object& padding, const py::object& dilation,
                            const py::object& groups, const py::object& input_given,
                            const OptionalTensor& prepared, const py::object& epilogue_given,
                            const OptionalTensor& y) {
  const Op op("conv2d_fused", x);
  const Conv2dShape s = conv2d_shape(op, x.shape, weight.shape, {stride, padding, dilation, groups});
  const Shape pooled{s.N, s.OH / 2, s.OW / 2, s.C_out};
  const auto input = scale_shift_of(op, "input", input_given, s.C_in);
  const auto epilogue = group_of<Conv2dEpilogue>(op, "epilogue", epilogue_given,
                                                 {s.C_out, {{"pooled", pooled}, {"argmax", pooled}}});
  const Conv2dEpilogue& e = epilogue.value;
  const BatchNormStatistics& statistics = e.statistics;
  check_shape(op, "bias", bias, {s.C_out});
  check_shape(op, "y", y, {s.N, s.OH, s.OW, s.C_out});
  check_scale_shift(op, e.output);
  if (!y && !e.pooled) fail(op, "neither y nor pooled is given, expected at least one");
  if (e.argmax && !e.pooled) fail(op, "argmax asks for pooled");
  if (e.pooled && (s.OH % 2 || s.OW % 2)) fail(op, "pooled asks for an even output, it is ", s.OH, " x ", s.OW);
  if (statistics.mean && (!statistics.rstd || !statistics.scale || !statistics.shift || !y))
    fail(op, "mean asks for rstd, scale, shift and y");
  if (prepared) {
    const size_t bytes = fused(op).conv2d_prepared_bytes(planning_context(), s);
    check_shape(op, "prepared", prepared, {static_cast<int64_t>(bytes / sizeof(float))});
  }
  submit(op, needs(op, s, Conv2dPass::kForward, Conv2dAlgorithm::kAuto, prepared.has_value()),
         fused(op).conv2d_fused, s, x, input, weight, prepared, bias, epilogue, y);
  return y;
}

// A reduction of a dy of the shape of the x that was normalised.
Group<BatchNormReduction> reduction_of(const Op& op, const py::object& given, const Shape& x) {
  const int64_t C = x.back();
  auto group = group_of<BatchNormReduction>(op, "reduction", given, {C, {{"x", x}, {"coefficients", {3, C}}}});
  const BatchNormReduction& r = group.value;
  if (!r.x || !r.mean || !r.rstd || !r.coefficients) fail(op, "reduction asks for x, mean, rstd and coefficients");
  check_scale_shift(op, r.normalization);
  if (r.normalization.relu && !r.normalization.scale) fail(op, "relu asks for scale and shift");
  return group;
}

Tensor conv2d_backward_input_fused(const Tensor& dy, const Tensor& weight, const py::object& x_shape,
                                   const py::object& stride, const py::object& padding, const py::object& dilation,
                                   const py::object& groups, const py::object& reduction_given,
                                   const OptionalTensor& out) {
  const Op op("conv2d_backward_input_fused", dy);
  const Conv2dShape s =
      conv2d_shape(op, sizes(op, "x_shape", x_shape), weight.shape, {stride, padding, dilation, groups});
  const Shape x{s.N, s.H, s.W, s.C_in};
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C_out});
  const auto reduction = reduction_of(op, reduction_given, x);
  const Tensor dx = output(op, "dx", out, x);
  submit(op, needs(op, s, Conv2dPass::kBackwardInput), fused(op).conv2d_backward_input_fused, s, dy, weight,
         reduction, dx);
  return dx;
}

std::pair<Tensor, OptionalTensor> conv2d_backward_weight_fused(
    const Tensor& x, const py::object& weight_shape, const py::object& stride, const py::object& padding,
    const py::object& dilation, const py::object& groups, const py::object& gradient_given,
    const py::object& input_given, bool with_bias, const OptionalTensor& dweight_out,
    const OptionalTensor& dbias_out) {
  const Op op("conv2d_backward_weight_fused", x);
  const Conv2dShape s =
      conv2d_shape(op, x.shape, sizes(op, "weight_shape", weight_shape), {stride, padding, dilation, groups});
  const Shape y{s.N, s.OH, s.OW, s.C_out}, pooled{s.N, s.OH / 2, s.OW / 2, s.C_out};
  const bool pools = py::isinstance<py::dict>(gradient_given) && gradient_given.contains("argmax") &&
                     !gradient_given["argmax"].is_none();
  const auto gradient = group_of<Conv2dGradient>(
      op, "gradient", gradient_given,
      {s.C_out,
       {{"d", pools ? pooled : y}, {"argmax", pooled}, {"y", y}, {"dy", y}, {"coefficients", {3, s.C_out}}}});
  const Conv2dGradient& g = gradient.value;
  if (!g.d) fail(op, "d is missing");
  if (pools && (s.OH % 2 || s.OW % 2)) fail(op, "argmax asks for an even output, it is ", s.OH, " x ", s.OW);
  if (!g.y && (pools || g.coefficients || g.relu || g.normalization.relu)) fail(op, "y is missing");
  check_scale_shift(op, g.normalization);
  const auto input = scale_shift_of(op, "input", input_given, s.C_in);
  const Tensor dweight = output(op, "dweight", dweight_out, {s.KH, s.KW, s.C_in / s.groups, s.C_out});
  const OptionalTensor dbias =
      with_bias ? OptionalTensor(output(op, "dbias", dbias_out, {s.C_out})) : std::nullopt;
  submit(op, needs(op, s, Conv2dPass::kBackwardWeight), fused(op).conv2d_backward_weight_fused, s, gradient, x,
         input, dweight, dbias);
  return {dweight, dbias};
}

// x (..., C) as rows of channels.
BatchNormShape rows_of(const Op& op, const Tensor& x, float epsilon = 0) {
  if (x.ndim() < 1) fail(op, "x has shape (), expected at least 1 dimension: (..., C)");
  const int64_t C = x.shape.back();
  return {C ? x.size() / C : 0, C, epsilon, 0};
}

Tensor normalize(const Tensor& x, const py::object& given, const OptionalTensor& out) {
  const Op op("normalize", x);
  const BatchNormShape s = rows_of(op, x);
  const auto normalization = scale_shift_of(op, "normalization", given, s.C);
  const Tensor y = output(op, "y", out, x.shape);
  submit(op, needs(op, s), fused(op).normalize, s, x, normalization, y);
  return y;
}

std::pair<Tensor, Tensor> batch_norm_fold(const OptionalTensor& gamma, const OptionalTensor& beta,
                                          const Tensor& mean, const Tensor& variance, float epsilon,
                                          const OptionalTensor& scale_out, const OptionalTensor& shift_out) {
  const Op op("batch_norm_fold", mean);
  const int64_t C = mean.size();
  check_shape(op, "gamma", gamma, {C});
  check_shape(op, "beta", beta, {C});
  check_shape(op, "variance", variance, {C});
  const Tensor scale = output(op, "scale", scale_out, {C}), shift = output(op, "shift", shift_out, {C});
  submit(op, fused(op).batch_norm_fold, BatchNormShape{0, C, epsilon, 0}, gamma, beta, mean, variance, scale,
         shift);
  return {scale, shift};
}

void batch_norm_reduce(const Tensor& dy, const py::object& reduction_given) {
  const Op op("batch_norm_reduce", dy);
  const BatchNormShape s = rows_of(op, dy);
  const auto reduction = reduction_of(op, reduction_given, dy.shape);
  submit(op, needs(op, s), fused(op).batch_norm_reduce, s, dy, reduction);
}

std::pair<Tensor, OptionalTensor> max_pool2d_signed(const Tensor& x, const OptionalTensor& gamma,
                                                    const OptionalTensor& y_out,
                                                    const OptionalTensor& argmax_out) {
  const Op op("max_pool2d_signed", x);
  const Pool2dShape s = pool2d_shape(op, x.shape, py::int_(2), py::none(), py::int_(0), py::int_(1), false);
  const Shape shape{s.N, s.OH, s.OW, s.C};
  check_shape(op, "gamma", gamma, {s.C});
  const Tensor y = output(op, "y", y_out, shape), argmax = output(op, "argmax", argmax_out, shape, DType::kUint8);
  submit(op, fused(op).max_pool2d_signed, s, x, gamma, y, argmax);
  return {y, argmax};
}

const Bindings fused_bindings = [](py::module_& module) {
  module.attr("FUSE_EPILOGUE") = static_cast<uint32_t>(kFuseEpilogue);
  module.attr("FUSE_POOL") = static_cast<uint32_t>(kFusePool);
  module.attr("FUSE_INPUT") = static_cast<uint32_t>(kFuseInput);
  module.attr("FUSE_REDUCTION") = static_cast<uint32_t>(kFuseReduction);
  module.attr("FUSE_GRADIENT") = static_cast<uint32_t>(kFuseGradient);
  module.attr("NEEDS_GRADIENT") = static_cast<uint32_t>(kNeedsGradient);
  module.def("conv2d_fusions", &conv2d_fusions, py::arg("x_shape"), py::arg("weight_shape"), py::kw_only(),
             kStride, kPadding, kDilation, kGroups, py::arg("prepared") = false, py::arg("device") = "cpu");
  module.def("conv2d_prepared_size", &conv2d_prepared_size, py::arg("x_shape"), py::arg("weight_shape"),
             py::kw_only(), kStride, kPadding, kDilation, kGroups, py::arg("device") = "cpu");
  module.def("conv2d_prepare", &conv2d_prepare, py::arg("weight"), py::arg("x_shape"), py::kw_only(), kStride,
             kPadding, kDilation, kGroups, none("prepared"));
  module.def("conv2d_fused", &conv2d_fused, py::arg("x"), py::arg("weight"), none("bias"), py::kw_only(), kStride,
             kPadding, kDilation, kGroups, none("input"), none("prepared"), none("epilogue"), none("y"));
  module.def("conv2d_backward_input_fused", &conv2d_backward_input_fused, py::arg("dy"), py::arg("weight"),
             py::arg("x_shape"), py::kw_only(), kStride, kPadding, kDilation, kGroups, py::arg("reduction"),
             none("dx"));
  module.def("conv2d_backward_weight_fused", &conv2d_backward_weight_fused, py::arg("x"), py::arg("weight_shape"),
             py::kw_only(), kStride, kPadding, kDilation, kGroups, py::arg("gradient"), none("input"),
             py::arg("bias") = true, none("dweight"), none("dbias"));
  module.def("normalize", &normalize, py::arg("x"), py::arg("normalization"), py::kw_only(), none("y"));
  module.def("batch_norm_fold", &batch_norm_fold, py::arg("gamma"), py::arg("beta"), py::arg("mean"),
             py::arg("variance"), py::kw_only(), py::arg("epsilon") = 1e-3f, none("scale"), none("shift"));
  module.def("batch_norm_reduce", &batch_norm_reduce, py::arg("dy"), py::kw_only(), py::arg("reduction"));
  module.def("max_pool2d_signed", &max_pool2d_signed, py::arg("x"), none("gamma"), py::kw_only(), none("y"),
             none("argmax"));
};

}  // namespace

}  // namespace pyconv
