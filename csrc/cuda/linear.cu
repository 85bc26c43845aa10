// Dense layers.
#include "cuda.h"

namespace pyconv::cuda {
#include "../linear_entries.h"
}  // namespace pyconv::cuda
