#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../backends.h"
#include "../memory.h"
#include "../parallel.h"
#include "tensor.h"

namespace pyconv {

PYCONV_WEAK void bind_program(py::module_&);
PYCONV_WEAK void bind_philox(py::module_&);
PYCONV_WEAK void bind_conv2d(py::module_&);
PYCONV_WEAK void bind_pool2d(py::module_&);
PYCONV_WEAK void bind_relu(py::module_&);
PYCONV_WEAK void bind_add(py::module_&);
PYCONV_WEAK void bind_dropout(py::module_&);
PYCONV_WEAK void bind_batch_norm(py::module_&);
PYCONV_WEAK void bind_linear(py::module_&);
PYCONV_WEAK void bind_softmax(py::module_&);
PYCONV_WEAK void bind_softmax_cross_entropy(py::module_&);
PYCONV_WEAK void bind_accuracy(py::module_&);
PYCONV_WEAK void bind_sum(py::module_&);
PYCONV_WEAK void bind_adam(py::module_&);
PYCONV_WEAK void bind_sgd(py::module_&);
PYCONV_WEAK void bind_gather(py::module_&);
PYCONV_WEAK void bind_affine(py::module_&);

namespace {

void bind_machine(py::module_& module) {
  module.def("available_backends", [] {
    int count = 0;
    const Backend* backends = available_backends(&count);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(backends[i].name);
    return names;
  });
  module.def("backend", [] { return backend().name; });
  module.def("select_backend", &select_backend, py::arg("name"));
  module.def("num_threads", &num_threads);
  module.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 1)
          throw py::value_error("[set_num_threads] threads is " + std::to_string(threads) +
                                ", expected at least 1");
        const py::gil_scoped_release release;
        set_num_threads(threads);
      },
      py::arg("threads"));
  module.def("memory_statistics", [] {
    const MemoryStatistics s = memory_statistics();
    py::dict result;
    result["allocated_bytes"] = s.allocated_bytes;
    result["cached_bytes"] = s.cached_bytes;
    result["system_calls"] = s.system_calls;
    return result;
  });
  module.def("empty_cache", &empty_cache);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.attr("__version__") = PYCONV_VERSION;
   bind_tensor(module);
  if (bind_program) bind_program(module);
   bind_machine(module);
  if (bind_philox) bind_philox(module);
  if (bind_conv2d) bind_conv2d(module);
  if (bind_pool2d) bind_pool2d(module);
  if (bind_relu) bind_relu(module);
  if (bind_add) bind_add(module);
  if (bind_dropout) bind_dropout(module);
  if (bind_batch_norm) bind_batch_norm(module);
  if (bind_linear) bind_linear(module);
  if (bind_softmax) bind_softmax(module);
  if (bind_softmax_cross_entropy) bind_softmax_cross_entropy(module);
  if (bind_accuracy) bind_accuracy(module);
  if (bind_sum) bind_sum(module);
  if (bind_adam) bind_adam(module);
  if (bind_sgd) bind_sgd(module);
  if (bind_gather) bind_gather(module);
  if (bind_affine) bind_affine(module);
}

}  // namespace pyconv
