#include "../philox.h"

#include "call.h"
#include "tensor.h"

namespace pyconv {

// The host's draws (initial weights, shuffles): plain loops, since they are small and rare.
namespace {

const Bindings philox_bindings = [](py::module_& module) {
  module.def(
      "philox",
      [](uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t step, uint32_t first,
         const py::object& blocks_given) {
        // A block's number is 32 bits of the counter: beyond, the stream would begin anew.
        const int64_t blocks = integer("philox", "blocks", blocks_given, 0, (int64_t{1} << 32) - first);
        Tensor words = empty({blocks, 4}, DType::kUint32, nullptr, "philox", "the result");
        const uint32_t rng[4] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), epoch, step};
        for (int64_t i = 0; i < blocks; ++i) {
          const PhiloxBlock block = philox(rng, purpose, first + static_cast<uint32_t>(i));
          for (int k = 0; k < 4; ++k) words.as<uint32_t>()[4 * i + k] = block.word[k];
        }
        return words;
      },
      py::arg("seed"), py::arg("purpose"), py::kw_only(), py::arg("epoch") = 0, py::arg("step") = 0,
      py::arg("first") = 0, py::arg("blocks") = 1);
  module.attr("PHILOX_WEIGHTS") = static_cast<uint32_t>(kPhiloxWeights);
  module.attr("PHILOX_SHUFFLE") = static_cast<uint32_t>(kPhiloxShuffle);
  module.attr("PHILOX_AUGMENT") = static_cast<uint32_t>(kPhiloxAugment);
  module.attr("PHILOX_DROPOUT") = static_cast<uint32_t>(kPhiloxDropout);
  module.attr("PHILOX_DATA") = static_cast<uint32_t>(kPhiloxData);
};

}  // namespace

}  // namespace pyconv
