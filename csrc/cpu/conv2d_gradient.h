// dy of a convolution, where a weight gradient finds it: in memory, or made from what follows the convolution
// (Conv2dGradient), pixel by pixel, and written for the input gradient.
#pragma once

#include "conv2d_epilogue.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// Where the pixels of a tile are found: offsets of its first one, in a tensor of the convolution's output and in
// one that 2x2 pooling made of it. The first pixel is even where there is pooling.
struct GradientPlace {
  int64_t at, row, pixel, pooled_at, pooled_row;

  PYCONV_INLINE_MEMBER GradientPlace(const TargetShape& target, int64_t channel, int64_t n, int64_t h, int64_t w) {
    const int64_t H = target.H / 2, W = target.W / 2;
    pixel = target.K, row = target.W * pixel, pooled_row = W * pixel;
    at = (n * target.H + h) * row + w * pixel + channel;
    pooled_at = (n * H + h / 2) * pooled_row + w / 2 * pixel + channel;
  }
};

// `lanes` channels of a gradient's source. `get(place, i, j)` gives dy at pixel (i, j) from there.
template <bool kMade, bool kPooled>
struct GradientChannels {
  const float *d, *y;
  const uint8_t* argmax;
  float* dy;
  const int64_t lanes;
  Vec factor, slope, constant, scale, shift, open, low;

  PYCONV_INLINE_MEMBER GradientChannels(const Conv2dGradient& g, int64_t K, int64_t c, int64_t count)
      : d(g.d), y(g.y), argmax(g.argmax), dy(g.dy), lanes(count) {
    if constexpr (kMade) {
      const float* k = g.coefficients;
      factor = load_or(k ? k + c : nullptr, lanes, 1);
      slope = load_or(k ? k + K + c : nullptr, lanes, 0);
      constant = load_or(k ? k + 2 * K + c : nullptr, lanes, 0);
      const bool closes = g.normalization.relu;
      scale = load_or(closes ? g.normalization.scale + c : nullptr, lanes, 0);
      shift = load_or(closes ? g.normalization.shift + c : nullptr, lanes, 0);
      open = floor_of(closes);
      low = floor_of(g.relu);
    }
  }

  template <bool kWhole>
  PYCONV_INLINE_MEMBER Vec get(const GradientPlace& place, int64_t i, int64_t j) const {
    const auto take = [&](const float* p) PYCONV_LANES_BODY { return kWhole ? load(p) : load_lanes(p, lanes); };
    const int64_t at = place.at + i * place.row + j * place.pixel;
    if constexpr (!kMade) return take(d + at);
    Vec value;
    if constexpr (kPooled) {
      const int64_t from = place.pooled_at + i / 2 * place.pooled_row + j / 2 * place.pixel;
      using L = Lanes<kVecFloats>;
      typename L::Int best{};
      if (kWhole || lanes == kVecFloats)
        best = load_int<L>(argmax + from);
      else
        for (int64_t lane = 0; lane < lanes; ++lane) best[lane] = argmax[from + lane];
      value = best == static_cast<int32_t>(i % 2 * 2 + j % 2) ? take(d + from) : Vec{};
    } else {
      value = take(d + at);
    }
    const Vec output = take(y + at);
    value = masked_by_relu(value, output, scale, shift, open);
    value = factor * value + (slope * output + constant);
    value = output <= low ? Vec{} : value;
    if (dy) {
      if (kWhole)
        store(dy + at, value);
      else
        store_part(dy + at, value, lanes);
    }
    return value;
  }
};

// Calls body(made, pooled) with the constants of a gradient's kind.
template <bool kValue>
struct Flag {
  static constexpr bool value = kValue;
};
template <class Body>
PYCONV_INLINE void with_gradient_kind(const Conv2dGradient& g, const Body& body) {
  if (!g.y)
    body(Flag<false>{}, Flag<false>{});
  else if (!g.argmax)
    body(Flag<true>{}, Flag<false>{});
  else
    body(Flag<true>{}, Flag<true>{});
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
