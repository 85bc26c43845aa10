#include "signature.h"

#include <pybind11/pybind11.h>

#include <cstring>
#include <map>

#include "call.h"

namespace pyconv {

namespace {

struct Signature {
  std::vector<Parameter> parameters;
  std::vector<Parameter> written;  // a struct's field with the struct's name before it: "epilogue.pooled"
};

template <class T>
void add_written(std::vector<Parameter>& written, const Parameter& parameter) {
  if constexpr (WritesTo<T>) written.push_back(parameter);
  if constexpr (HoldsPointers<T>) {
    T fields{};
    visit_fields(fields, [&](const char* names, auto&... field) {
      const auto parts = parameters_of(names);
      size_t i = 0;
      (add_written<std::remove_reference_t<decltype(field)>>(written,
                                                             {parameter.name + "." + parts[i++].name, ""}),
       ...);
    });
  }
}

template <class Result, class... P>
Signature signature_of(Result (*)(const Context&, P...), const char* names) {
  Signature signature{parameters_of(names), {}};
  if (signature.parameters.size() != sizeof...(P))
    throw std::logic_error("entries.h names other parameters than kernels.h has: " + std::string(names));
  size_t i = 0;
  (add_written<std::decay_t<P>>(signature.written, signature.parameters[i++]), ...);
  return signature;
}

const std::map<std::string, Signature>& signatures() {
#define PYCONV_SIGNATURE(name, ...) {#name, signature_of(decltype(Kernels::name){}, #__VA_ARGS__)},
#define PYCONV_FUSED_SIGNATURE(name, ...) {#name, signature_of(decltype(FusedKernels::name){}, #__VA_ARGS__)},
  static const std::map<std::string, Signature> all{PYCONV_KERNELS(PYCONV_SIGNATURE)
                                                        PYCONV_FUSED_KERNELS(PYCONV_FUSED_SIGNATURE)};
  return all;
}

// OUTPUTS: {op: {what it writes: the input whose place that may take, or None}}.
const Bindings signature_bindings = [](py::module_& module) {
  py::dict outputs;
  for (const auto& [op, signature] : signatures()) {
    if (signature.written.empty()) continue;
    py::dict written;
    for (const auto& [name, in_place_of] : signature.written)
      written[name.c_str()] = in_place_of.empty() ? py::object(py::none()) : py::str(in_place_of);
    outputs[op.c_str()] = written;
  }
  module.attr("OUTPUTS") = outputs;
};

}  // namespace

std::vector<Parameter> parameters_of(const char* names) {
  std::vector<Parameter> parameters(1);
  std::string* word = &parameters[0].name;
  for (const char* c = names; *c; ++c) {
    if (*c == ',')
      word = &parameters.emplace_back().name;
    else if (*c == '=')
      word = &parameters.back().in_place_of;
    else if (*c != ' ')
      *word += *c;
  }
  return parameters;
}

std::string parameter_name(const char* op, size_t index) {
  return signatures().at(op).parameters[index].name;
}

}  // namespace pyconv
