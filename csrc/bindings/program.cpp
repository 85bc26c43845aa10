#include "../program.h"

#include <pybind11/stl.h>

#include <optional>

#include "call.h"
#include "gil.h"
#include "tensor.h"

namespace pyconv {

namespace {

const Bindings program_bindings = [](py::module_& module) {
  py::class_<Program>(module, "Program")
      .def(py::init<>())
      .def("__enter__",
           [](py::object self) {
             if (Program::recording()) throw std::runtime_error("[Program] another program is recording");
             Program::recording() = py::cast<Program*>(self);
             return self;
           })
      .def("__exit__", [](Program&, const py::args&) { Program::recording() = nullptr; })
      .def("__len__", [](const Program& p) { return p.entries().size(); })
      .def_property_readonly("ops",
                             [](const Program& p) {
                               std::vector<std::string> ops;
                               for (const auto& entry : p.entries()) ops.emplace_back(entry.op);
                               return ops;
                             })
      .def_property_readonly("workspace_bytes", &Program::workspace_bytes)
      .def(
          "run",
          [](Program& p, size_t begin, std::optional<size_t> end) {
            const GilRelease release;
            p.run(begin, end.value_or(p.entries().size()));
          },
          py::arg("begin") = 0, py::arg("end") = py::none())
      .def("time", &Program::time, py::call_guard<GilRelease>());
};

}  // namespace

}  // namespace pyconv
