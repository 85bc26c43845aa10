// The fused entries of a backend, which the planner alone calls (pyconv/fusion.py).
#include <pybind11/stl.h>

#include "call.h"
#include "geometry.h"

namespace pyconv {

namespace {

const FusedKernels& fused(const Op& op) {
  if (!op.backend->fused) fail(op, "the backend ", op.backend->name, " has no fused kernels");
  return *op.backend->fused;
}

const auto kStride = py::arg("stride") = 1, kPadding = py::arg("padding") = 0, kDilation = py::arg("dilation") = 1,
           kGroups = py::arg("groups") = 1;

py::arg_v none(const char* name) {
  return py::arg(name) = py::none();
}

// An optional (C) vector.
float* vector(const char* op, const char* name, const OptionalTensor& tensor, int64_t C) {
  check_shape(op, name, tensor, {C});
  return data_or_null(tensor);
}

ScaleShift normalization(const char* op, const OptionalTensor& scale, const OptionalTensor& shift, bool relu,
                         int64_t C) {
  if (scale.has_value() != shift.has_value()) fail(op, "scale and shift come together, got one of them");
  return {vector(op, "scale", scale, C), vector(op, "shift", shift, C), relu};
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
  check_dtype(op, "weight", weight, DType::kFloat32);
  const Conv2dShape s =
      conv2d_shape(op, sizes(op, "x_shape", x_shape), weight.shape, {stride, padding, dilation, groups});
  const int64_t floats = conv2d_prepared_size(x_shape, py::cast(weight.shape), stride, padding, dilation, groups,
                                              device_name(op.backend));
  const Tensor prepared = output(op, "prepared", out, {floats});
  submit(
      op, {&weight, &prepared},
      [=, run = fused(op).conv2d_prepare, weight = weight.as<float>(),
       prepared = prepared.as<float>()](const Context& context) { return run(context, s, weight, prepared); },
      workspace(op, s, Conv2dPass::kForward, Conv2dAlgorithm::kAuto, true));
  return prepared;
}

OptionalTensor conv2d_fused(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                            const py::object& stride, const py::object& padding, const py::object& dilation,
                            const py::object& groups, const OptionalTensor& x_scale, const OptionalTensor& x_shift,
                            bool x_relu, const OptionalTensor& prepared, bool relu, const OptionalTensor& y_scale,
                            const OptionalTensor& y_shift, bool y_relu, float epsilon, float momentum,
                            const OptionalTensor& gamma, const OptionalTensor& beta,
                            const OptionalTensor& running_mean, const OptionalTensor& running_variance,
                            const OptionalTensor& mean, const OptionalTensor& rstd, const OptionalTensor& scale,
                            const OptionalTensor& shift, const OptionalTensor& pooled,
                            const OptionalTensor& argmax, const OptionalTensor& y) {
  const Op op("conv2d_fused", x);
  check_dtype(op, "x", x, DType::kFloat32);
  check_dtype(op, "weight", weight, DType::kFloat32);
  const Conv2dShape s = conv2d_shape(op, x.shape, weight.shape, {stride, padding, dilation, groups});
  const int64_t C = s.C_out;
  check_shape(op, "y", y, {s.N, s.OH, s.OW, C});
  check_shape(op, "pooled", pooled, {s.N, s.OH / 2, s.OW / 2, C});
  check_shape(op, "argmax", argmax, {s.N, s.OH / 2, s.OW / 2, C}, DType::kUint8);
  if (!y && !pooled) fail(op, "neither y nor pooled is given, expected at least one");
  if (argmax && !pooled) fail(op, "argmax asks for pooled");
  if (pooled && (s.OH % 2 || s.OW % 2)) fail(op, "pooled asks for an even output, it is ", s.OH, " x ", s.OW);
  if (prepared) {
    const size_t bytes = fused(op).conv2d_prepared_bytes(planning_context(), s);
    check_shape(op, "prepared", prepared, {static_cast<int64_t>(bytes / sizeof(float))});
  }
  Conv2dEpilogue epilogue{};
  epilogue.relu = relu;
  epilogue.output = normalization(op, y_scale, y_shift, y_relu, C);
  if (mean) {
    if (!rstd || !scale || !shift || !y) fail(op, "mean asks for rstd, scale, shift and y");
    epilogue.statistics = {epsilon,
                           momentum,
                           vector(op, "gamma", gamma, C),
                           vector(op, "beta", beta, C),
                           vector(op, "running_mean", running_mean, C),
                           vector(op, "running_variance", running_variance, C),
                           vector(op, "mean", mean, C),
                           vector(op, "rstd", rstd, C),
                           vector(op, "scale", scale, C),
                           vector(op, "shift", shift, C)};
  }
  epilogue.pooled = data_or_null(pooled);
  epilogue.argmax = data_or_null<uint8_t>(argmax);
  const ScaleShift input = normalization(op, x_scale, x_shift, x_relu, s.C_in);
  submit(
      op,
      {&x, &weight, pointer(bias), pointer(x_scale), pointer(x_shift), pointer(prepared), pointer(y_scale),
       pointer(y_shift), pointer(gamma), pointer(beta), pointer(running_mean), pointer(running_variance),
       pointer(mean), pointer(rstd), pointer(scale), pointer(shift), pointer(pooled), pointer(argmax), pointer(y)},
      [=, run = fused(op).conv2d_fused, x = x.as<float>(), weight = weight.as<float>(),
       prepared = data_or_null(prepared), bias = vector(op, "bias", bias, C), y = data_or_null(y)](
          const Context& context) { return run(context, s, x, input, weight, prepared, bias, epilogue, y); },
      workspace(op, s, Conv2dPass::kForward, Conv2dAlgorithm::kAuto, prepared.has_value()));
  return y ? y : pooled;
}

// The arguments that a reduction has besides dy and x.
BatchNormReduction reduction_of(const char* op, int64_t M, const Tensor& x, const OptionalTensor& gamma,
                                const Tensor& mean, const Tensor& rstd, const OptionalTensor& scale,
                                const OptionalTensor& shift, bool relu, const OptionalTensor& dgamma,
                                const OptionalTensor& dbeta, const Tensor& coefficients) {
  const int64_t C = x.shape.back();
  check_shape(op, "mean", mean, {C});
  check_shape(op, "rstd", rstd, {C});
  check_shape(op, "coefficients", coefficients, {3, C});
  if (relu && !scale) fail(op, "relu asks for scale and shift");
  return {M,
          x.as<float>(),
          normalization(op, scale, shift, relu, C),
          vector(op, "gamma", gamma, C),
          mean.as<float>(),
          rstd.as<float>(),
          vector(op, "dgamma", dgamma, C),
          vector(op, "dbeta", dbeta, C),
          coefficients.as<float>()};
}

Tensor conv2d_backward_input_fused(const Tensor& dy, const Tensor& weight, const py::object& x_shape,
                                   const py::object& stride, const py::object& padding, const py::object& dilation,
                                   const py::object& groups, int64_t rows, const Tensor& x,
                                   const OptionalTensor& gamma, const Tensor& mean, const Tensor& rstd,
                                   const OptionalTensor& scale, const OptionalTensor& shift, bool relu,
                                   const OptionalTensor& dgamma, const OptionalTensor& dbeta,
                                   const Tensor& coefficients, const OptionalTensor& out) {
  const Op op("conv2d_backward_input_fused", dy);
  check_dtype(op, "weight", weight, DType::kFloat32);
  const Conv2dShape s =
      conv2d_shape(op, sizes(op, "x_shape", x_shape), weight.shape, {stride, padding, dilation, groups});
  check_shape(op, "dy", dy, {s.N, s.OH, s.OW, s.C_out});
  check_shape(op, "x", x, {s.N, s.H, s.W, s.C_in});
  const BatchNormReduction reduction =
      reduction_of(op, rows, x, gamma, mean, rstd, scale, shift, relu, dgamma, dbeta, coefficients);
  const Tensor dx = output(op, "dx", out, x.shape);
  op.writes_given = true;  // coefficients
  submit(
      op,
      {&dy, &weight, &x, pointer(gamma), &mean, &rstd, pointer(scale), pointer(shift), pointer(dgamma),
       pointer(dbeta), &coefficients, &dx},
      [=, run = fused(op).conv2d_backward_input_fused, dy = dy.as<float>(), weight = weight.as<float>(),
       dx = dx.as<float>()](const Context& context) { return run(context, s, dy, weight, reduction, dx); },
      workspace(op, s, Conv2dPass::kBackwardInput));
  return dx;
}

std::pair<Tensor, OptionalTensor> conv2d_backward_weight_fused(
    const Tensor& d, const Tensor& x, const py::object& weight_shape, const py::object& stride,
    const py::object& padding, const py::object& dilation, const py::object& groups, bool with_bias,
    const OptionalTensor& x_scale, const OptionalTensor& x_shift, bool x_relu, const OptionalTensor& y, bool relu,
    const OptionalTensor& argmax, const OptionalTensor& scale, const OptionalTensor& shift, bool y_relu,
    const OptionalTensor& coefficients, const OptionalTensor& dy, const OptionalTensor& dweight_out,
    const OptionalTensor& dbias_out) {
  const Op op("conv2d_backward_weight_fused", d);
  check_dtype(op, "x", x, DType::kFloat32);
  const Conv2dShape s =
      conv2d_shape(op, x.shape, sizes(op, "weight_shape", weight_shape), {stride, padding, dilation, groups});
  const Shape y_shape{s.N, s.OH, s.OW, s.C_out}, pooled{s.N, s.OH / 2, s.OW / 2, s.C_out};
  if (argmax && (s.OH % 2 || s.OW % 2)) fail(op, "argmax asks for an even output, it is ", s.OH, " x ", s.OW);
  if (!y && (argmax || coefficients || relu || y_relu)) fail(op, "y is missing");
  check_shape(op, "d", d, argmax ? pooled : y_shape);
  check_shape(op, "argmax", argmax, pooled, DType::kUint8);
  check_shape(op, "y", y, y_shape);
  check_shape(op, "dy", dy, y_shape);
  check_shape(op, "coefficients", coefficients, {3, s.C_out});
  const Conv2dGradient gradient{d.as<float>(),
                                data_or_null<uint8_t>(argmax),
                                data_or_null(y),
                                relu,
                                normalization(op, scale, shift, y_relu, s.C_out),
                                data_or_null(coefficients),
                                data_or_null(dy)};
  const ScaleShift input = normalization(op, x_scale, x_shift, x_relu, s.C_in);
  const Tensor dweight = output(op, "dweight", dweight_out, {s.KH, s.KW, s.C_in / s.groups, s.C_out});
  const OptionalTensor dbias =
      with_bias ? OptionalTensor(output(op, "dbias", dbias_out, {s.C_out})) : std::nullopt;
  op.writes_given |= dy.has_value();
  submit(
      op,
      {&d, &x, pointer(x_scale), pointer(x_shift), pointer(y), pointer(argmax), pointer(scale), pointer(shift),
       pointer(coefficients), pointer(dy), &dweight, pointer(dbias)},
      [=, run = fused(op).conv2d_backward_weight_fused, x = x.as<float>(), dweight = dweight.as<float>(),
       dbias = data_or_null(dbias)](const Context& context) {
        return run(context, s, gradient, x, input, dweight, dbias);
      },
      workspace(op, s, Conv2dPass::kBackwardWeight));
  return {dweight, dbias};
}

// x (..., C) as rows of channels.
BatchNormShape rows_of(const Op& op, const Tensor& x, float epsilon = 0) {
  if (x.ndim() < 1) fail(op, "x has shape (), expected at least 1 dimension: (..., C)");
  const int64_t C = x.shape.back();
  return {C ? x.size() / C : 0, C, epsilon, 0};
}

Tensor normalize(const Tensor& x, const Tensor& scale, const Tensor& shift, bool relu, const OptionalTensor& out) {
  const Op op("normalize", x);
  check_dtype(op, "x", x, DType::kFloat32);
  const BatchNormShape s = rows_of(op, x);
  const ScaleShift n = normalization(op, scale, shift, relu, s.C);
  const Tensor y = output(op, "y", out, x.shape);
  submit(
      op, {&x, &scale, &shift, &y},
      [=, run = fused(op).normalize, x = x.as<float>(), y = y.as<float>()](const Context& context) {
        return run(context, s, x, n, y);
      },
      workspace(op, s));
  return y;
}

std::pair<Tensor, Tensor> batch_norm_fold(const OptionalTensor& gamma, const OptionalTensor& beta,
                                          const Tensor& mean, const Tensor& variance, float epsilon,
                                          const OptionalTensor& scale_out, const OptionalTensor& shift_out) {
  const Op op("batch_norm_fold", mean);
  const int64_t C = mean.size();
  check_shape(op, "variance", variance, {C});
  const Tensor scale = output(op, "scale", scale_out, {C}), shift = output(op, "shift", shift_out, {C});
  submit(op, {pointer(gamma), pointer(beta), &mean, &variance, &scale, &shift},
         [s = BatchNormShape{0, C, epsilon, 0}, run = fused(op).batch_norm_fold,
          gamma = vector(op, "gamma", gamma, C), beta = vector(op, "beta", beta, C), mean = mean.as<float>(),
          variance = variance.as<float>(), scale = scale.as<float>(), shift = shift.as<float>()](
             const Context& context) { return run(context, s, gamma, beta, mean, variance, scale, shift); });
  return {scale, shift};
}

Tensor batch_norm_reduce(const Tensor& dy, int64_t rows, const Tensor& x, const OptionalTensor& gamma,
                         const Tensor& mean, const Tensor& rstd, const OptionalTensor& scale,
                         const OptionalTensor& shift, bool relu, const OptionalTensor& dgamma,
                         const OptionalTensor& dbeta, const Tensor& coefficients) {
  const Op op("batch_norm_reduce", x);
  check_shape(op, "dy", dy, x.shape);
  const BatchNormShape s = rows_of(op, x);
  const BatchNormReduction reduction =
      reduction_of(op, rows, x, gamma, mean, rstd, scale, shift, relu, dgamma, dbeta, coefficients);
  submit(
      op,
      {&dy, &x, pointer(gamma), &mean, &rstd, pointer(scale), pointer(shift), pointer(dgamma), pointer(dbeta),
       &coefficients},
      [=, run = fused(op).batch_norm_reduce, dy = dy.as<float>()](const Context& context) {
        return run(context, s, dy, reduction);
      },
      workspace(op, s));
  return coefficients;
}

std::pair<Tensor, OptionalTensor> max_pool2d_signed(const Tensor& x, const OptionalTensor& gamma,
                                                    const OptionalTensor& y_out,
                                                    const OptionalTensor& argmax_out) {
  const Op op("max_pool2d_signed", x);
  check_dtype(op, "x", x, DType::kFloat32);
  const Pool2dShape s = pool2d_shape(op, x.shape, py::int_(2), py::none(), py::int_(0), py::int_(1), false);
  const Shape shape{s.N, s.OH, s.OW, s.C};
  const Tensor y = output(op, "y", y_out, shape), argmax = output(op, "argmax", argmax_out, shape, DType::kUint8);
  submit(op, {&x, pointer(gamma), &y, &argmax},
         [=, run = fused(op).max_pool2d_signed, x = x.as<float>(), gamma = vector(op, "gamma", gamma, s.C),
          y = y.as<float>(),
          argmax = argmax.data](const Context& context) { return run(context, s, x, gamma, y, argmax); });
  return {y, argmax};
}

}  // namespace

void bind_fused(py::module_& module) {
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
             kPadding, kDilation, kGroups, none("x_scale"), none("x_shift"), py::arg("x_relu") = false,
             none("prepared"), py::arg("relu") = false, none("y_scale"), none("y_shift"),
             py::arg("y_relu") = false, py::arg("epsilon") = 1e-3f, py::arg("momentum") = 0.99f, none("gamma"),
             none("beta"), none("running_mean"), none("running_variance"), none("mean"), none("rstd"),
             none("scale"), none("shift"), none("pooled"), none("argmax"), none("y"));
  module.def("conv2d_backward_input_fused", &conv2d_backward_input_fused, py::arg("dy"), py::arg("weight"),
             py::arg("x_shape"), py::kw_only(), kStride, kPadding, kDilation, kGroups, py::arg("rows"),
             py::arg("x"), none("gamma"), py::arg("mean"), py::arg("rstd"), none("scale"), none("shift"),
             py::arg("relu") = false, none("dgamma"), none("dbeta"), py::arg("coefficients"), none("dx"));
  module.def("conv2d_backward_weight_fused", &conv2d_backward_weight_fused, py::arg("d"), py::arg("x"),
             py::arg("weight_shape"), py::kw_only(), kStride, kPadding, kDilation, kGroups, py::arg("bias") = true,
             none("x_scale"), none("x_shift"), py::arg("x_relu") = false, none("y"), py::arg("relu") = false,
             none("argmax"), none("scale"), none("shift"), py::arg("y_relu") = false, none("coefficients"),
             none("dy"), none("dweight"), none("dbias"));
  module.def("normalize", &normalize, py::arg("x"), py::arg("scale"), py::arg("shift"), py::kw_only(),
             py::arg("relu") = false, none("y"));
  module.def("batch_norm_fold", &batch_norm_fold, py::arg("gamma"), py::arg("beta"), py::arg("mean"),
             py::arg("variance"), py::kw_only(), py::arg("epsilon") = 1e-3f, none("scale"), none("shift"));
  module.def("batch_norm_reduce", &batch_norm_reduce, py::arg("dy"), py::kw_only(), py::arg("rows"), py::arg("x"),
             none("gamma"), py::arg("mean"), py::arg("rstd"), none("scale"), none("shift"),
             py::arg("relu") = false, none("dgamma"), none("dbeta"), py::arg("coefficients"));
  module.def("max_pool2d_signed", &max_pool2d_signed, py::arg("x"), none("gamma"), py::kw_only(), none("y"),
             none("argmax"));
}

}  // namespace pyconv
