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

// Memory read soon, fetched into L2 a share at each step: the channels of a block lie too far apart from pixel to
// pixel for the hardware to foresee.
struct Ahead {
  const float* next = nullptr;
  int64_t lines = 0;  // cache lines a step

  Ahead() = default;
  Ahead(const float* first, int64_t floats, int64_t steps)
      : next(first), lines(ceil_div(floats, max(1, steps) * 16)) {}
  PYCONV_INLINE_MEMBER void step() {
    for (int64_t i = 0; i < lines; ++i, next += 16) __builtin_prefetch(next, 0, 2);
  }
};

// Weights as the passes read and sum them: (channel blocks, taps, channels of the block). Where they lie in
// (taps, C), C = 1024 puts all taps of a channel, and its pixels, into one set of the cache.
// Calls copy(lanes, place in blocks, place in (taps, C)) for each vector.
template <int vecs, class Copy>
PYCONV_INLINE void for_blocked(int64_t taps, int64_t C, const Copy& copy) {
  for_channels<vecs>(C, [&](auto block, int64_t c) PYCONV_LANES_BODY {
    using Block = decltype(block);
    for (int64_t t = 0; t < taps; ++t) {
      PYCONV_UNROLL
      for (int64_t i = 0; i < Block::kCount; i += Block::Lane::kCount)
        copy(typename Block::Lane{}, c * taps + t * Block::kCount + i, t * C + c + i);
    }
  });
}

}  // namespace

// ---- conv2d_depthwise_weight.cpp
void backward_weight(const Context&, const Conv2dShape&, const BackwardWeightPass&);
size_t weight_workspace(const Conv2dShape&);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise
