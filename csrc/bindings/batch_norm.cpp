#include <pybind11/stl.h>

#include <tuple>

#include "call.h"

namespace pyconv {

namespace {

// x (..., C) as M rows of C channels.
BatchNormShape shape_of(const char* op, const Tensor& x, const py::object& epsilon_given,
                        const py::object& momentum_given) {
  check_dtype(op, "x", x, DType::kFloat32);
  if (x.ndim() < 1) fail(op, "x has shape ", shape_text(x.shape), ", expected at least 1 dimension: (..., C)");
  const float epsilon = number(op, "epsilon", epsilon_given, false),
              momentum = number(op, "momentum", momentum_given, false);
  if (!(epsilon >= 0)) fail(op, "epsilon is ", epsilon, ", expected at least 0");
  if (!(momentum >= 0 && momentum <= 1)) fail(op, "momentum is ", momentum, ", expected a number in [0, 1]");
  BatchNormShape s{1, x.shape.back(), epsilon, momentum};
  for (size_t i = 0; i + 1 < x.shape.size(); ++i) s.M *= x.shape[i];
  return s;
}

// A running statistic, which is read and written.
void check_running(const Op& op, const char* name, const OptionalTensor& tensor, int64_t C) {
  if (tensor) output(op, name, tensor, {C});
}

std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const OptionalTensor& gamma,
                                              const OptionalTensor& beta, const OptionalTensor& running_mean,
                                              const OptionalTensor& running_variance, const py::object& epsilon,
                                              const py::object& momentum, const OptionalTensor& y_out,
                                              const OptionalTensor& mean_out, const OptionalTensor& rstd_out) {
  const Op op("batch_norm", x);
  const BatchNormShape s = shape_of(op, x, epsilon, momentum);
  check_shape(op, "gamma", gamma, {s.C});
  check_shape(op, "beta", beta, {s.C});
  check_running(op, "running_mean", running_mean, s.C);
  check_running(op, "running_variance", running_variance, s.C);
  const Tensor y = output(op, "y", y_out, x.shape);
  const Tensor mean = output(op, "mean", mean_out, {s.C});
  const Tensor rstd = output(op, "rstd", rstd_out, {s.C});
  submit(op, needs(op, s), op.kernels->batch_norm, s, x, gamma, beta, running_mean, running_variance, y, mean,
         rstd);
  return {y, mean, rstd};
}

Tensor batch_norm_inference(const Tensor& x, const OptionalTensor& gamma, const OptionalTensor& beta,
                            const Tensor& mean, const Tensor& variance, const py::object& epsilon,
                            const OptionalTensor& out) {
  const Op op("batch_norm_inference", x);
  const BatchNormShape s = shape_of(op, x, epsilon, py::int_(0));
  check_shape(op, "gamma", gamma, {s.C});
  check_shape(op, "beta", beta, {s.C});
  check_shape(op, "mean", mean, {s.C});
  check_shape(op, "variance", variance, {s.C});
  const Tensor y = output(op, "y", out, x.shape);
  submit(op, needs(op, s), op.kernels->batch_norm_inference, s, x, gamma, beta, mean, variance, y);
  return y;
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_backward(const Tensor& dy, const Tensor& x,
                                                       const OptionalTensor& gamma, const Tensor& mean,
                                                       const Tensor& rstd, const OptionalTensor& dx_out,
                                                       const OptionalTensor& dgamma_out,
                                                       const OptionalTensor& dbeta_out) {
  const Op op("batch_norm_backward", x);
  const BatchNormShape s = shape_of(op, x, py::int_(0), py::int_(0));
  check_shape(op, "dy", dy, x.shape);
  check_shape(op, "gamma", gamma, {s.C});
  check_shape(op, "mean", mean, {s.C});
  check_shape(op, "rstd", rstd, {s.C});
  const Tensor dx = output(op, "dx", dx_out, x.shape);
  const Tensor dgamma = output(op, "dgamma", dgamma_out, {s.C});
  const Tensor dbeta = output(op, "dbeta", dbeta_out, {s.C});
  submit(op, needs(op, s), op.kernels->batch_norm_backward, s, dy, x, gamma, mean, rstd, dx, dgamma, dbeta);
  return {dx, dgamma, dbeta};
}

const Bindings batch_norm_bindings = [](py::module_& module) {
  module.def("batch_norm", &batch_norm, py::arg("x"), none("gamma"), none("beta"), none("running_mean"),
             none("running_variance"), py::kw_only(), py::arg("epsilon") = 1e-3f, py::arg("momentum") = 0.99f,
             none("y"), none("mean"), none("rstd"));
  module.def("batch_norm_inference", &batch_norm_inference, py::arg("x"), py::arg("gamma"), py::arg("beta"),
             py::arg("mean"), py::arg("variance"), py::kw_only(), py::arg("epsilon") = 1e-3f, none("y"));
  module.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"),
             py::arg("mean"), py::arg("rstd"), py::kw_only(), none("dx"), none("dgamma"), none("dbeta"));
};

}  // namespace

}  // namespace pyconv
