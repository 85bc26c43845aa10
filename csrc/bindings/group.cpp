#include "group.h"

#include <algorithm>

namespace pyconv {

py::dict GroupReader::dict_of(const char* group, const py::object& given, const std::vector<Parameter>& known,
                              const char* names) const {
  if (!py::isinstance<py::dict>(given))
    throw py::type_error(message(op_, group, " is ", shown(given), ", expected a dict of ", names));
  const auto items = py::reinterpret_borrow<py::dict>(given);
  for (const auto& [key, value] : items) {
    const std::string name = word(op_, group, key, "the name of a field");
    if (std::none_of(known.begin(), known.end(), [&](const Parameter& field) { return field.name == name; }))
      fail(op_, group, " has the key '", name, "', expected some of ", names);
  }
  return items;
}

void* GroupReader::array(const char* name, const py::object& value, DType dtype, bool written) const {
  if (!py::isinstance<Tensor>(value))
    throw py::type_error(message(op_, name, " is ", shown(value), ", expected a Tensor or None"));
  const auto& tensor = py::cast<const Tensor&>(value);
  check_shape(op_, name, tensor, shapes_.of(name), dtype);
  if (written && tensor.read_only) fail(op_, name, " is read-only, expected memory to write to");
  op_.writes_given |= written;
  return tensors_.emplace_back(tensor).data;
}

}  // namespace pyconv
