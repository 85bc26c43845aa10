// What depthwise convolution's passes share: the walk over channels.
#pragma once

#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise {
namespace {

// Channels held in registers together: V vectors of a lane type.
template <class L, int V>
struct ChannelBlock {
  using Lane = L;
  static constexpr int kVecs = V;
  static constexpr int64_t kCount = V * L::kCount;
};

// Calls body(ChannelBlock<L, V>{}, c) along [0, C): `vecs` vectors at a time, then one, then what is narrower.
template <int vecs, class Body>
PYCONV_INLINE void for_channels(int64_t C, const Body& body) {
  int64_t c = 0;
  for (; c + vecs * kVecFloats <= C; c += vecs * kVecFloats) body(ChannelBlock<Lanes<kVecFloats>, vecs>{}, c);
  for_lanes(c, C, [&](auto lanes, int64_t i) PYCONV_LANES_BODY { body(ChannelBlock<decltype(lanes), 1>{}, i); });
}

}  // namespace

// Of backward_weight.
size_t weight_workspace(const Conv2dShape&);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise
