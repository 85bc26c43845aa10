#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../backends.h"
#include "../memory.h"
#include "../parallel.h"
#include "../program.h"
#include "call.h"
#include "gil.h"
#include "tensor.h"

namespace pyconv {

namespace {

const char* precision_name(Precision precision) {
  constexpr const char* kNames[] = {"float32", "tf32", "bfloat16"};
  return kNames[static_cast<size_t>(precision)];
}

void bind_machine(py::module_& module) {
  module.def("available_backends", [] {
    int count = 0;
    const Backend* backends = available_backends(&count);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(backends[i].name);
    return names;
  });
  module.def("cuda_why_not", [] {
    const GilRelease release;
    return cuda_why_not();
  });
  module.def(
      "has_fused_kernels", [](const std::string& device) { return backend_on(device).fused != nullptr; },
      py::arg("device"));
  module.def("cuda_synchronize", [] {
    const DeviceFunctions* device = backend_on("cuda").device;
    const GilRelease release;
    if (const Status status = device->synchronize(); status.message)
      throw std::runtime_error("[cuda] " + std::string(status.message));
  });
  module.def("cuda_name", [] { return backend_on("cuda").device->name(); });
  module.def(
      "set_precision",
      [](const py::object& given) {
        constexpr const char* kExpected = "'float32', 'tf32' or 'bfloat16'";
        const std::string name = word("set_precision", "precision", given, kExpected);
        for (const auto value : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16})
          if (name == precision_name(value)) return set_precision(value);
        fail("set_precision", "precision is ", shown(given), ", expected ", kExpected);
      },
      py::arg("precision"));
  module.def("precision", [] { return precision_name(precision()); });
  module.def("backend", [] { return default_backend().name; });
  module.def("default_device", [] { return device_name(&default_backend()); });
  module.def("select_backend", &select_backend, py::arg("name"));
  module.def("num_threads", &num_threads);
  module.def(
      "set_num_threads",
      [](const py::object& given) {
        const int64_t threads = integer("set_num_threads", "threads", given, 1, INT64_MAX);
        const GilRelease release;
        set_num_threads(static_cast<int>(std::min<int64_t>(threads, INT32_MAX)));
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
  // What an op would stumble over later: PYCONV_ISA is refused, PYCONV_NUM_THREADS warned of.
  module.def("read_environment", [] {
    try {
      host_backend();
    } catch (const std::runtime_error& error) {
      throw py::import_error(error.what());
    }
    num_threads();
  });
}

}  // namespace

// The entry that Python looks for stands before pybind11's, which would wait for ever for the lock of another
// interpreter.
#define PyInit__core initialise_in_the_main_interpreter
PYBIND11_MODULE(_core, module) {
  module.attr("__version__") = PYCONV_VERSION;
  bind_tensor(module);
  bind_machine(module);
  for (const auto add : Bindings::all()) add(module);  // every file's, Tensor being known
}

}  // namespace pyconv

#undef PyInit__core
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return pyconv::initialise_in_the_main_interpreter();
  PyErr_SetString(
      PyExc_ImportError,
      "pyconv works in the main interpreter alone, and this is a subinterpreter; use threads or processes");
  return nullptr;
}
