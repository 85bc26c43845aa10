// The epilogue: what becomes of a convolution's sums on their way to y. There is a policy for each use (StoreSums,
// TrainEpilogue, PredictEpilogue, ReduceEpilogue), a template argument of the loops that end in it, so that what a
// use does not need costs nothing.
//
// A policy's Finisher takes a vector of channels through some pixels: made, it loads the channels' constants into
// registers; next(v, at) makes of a pixel's sum what is stored at y[at], and adds it to the sums over pixels that
// the use asks for; end() stores these. Statistics are summed about a value near the mean: the chunk's first
// Finisher is given the mean of its pixels for that.
#pragma once

#include "batch_norm.h"
#include "conv2d_tile.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// y = conv + bias.
struct StoreSums {
  TargetShape target;
  const float* bias;
  float *y, *pooled = nullptr;
  bool streams;

  template <bool kWhole>
  struct Finisher {
    Vec offset;
    PYCONV_INLINE_MEMBER Finisher(const StoreSums& e, const ChannelSums&, const TileOutput& t, Vec)
        : offset(load_or(e.bias ? e.bias + t.channel : nullptr, t.lanes, 0)) {}
    PYCONV_INLINE_MEMBER Vec next(Vec v, int64_t) { return v + offset; }
    PYCONV_INLINE_MEMBER void end() const {}
  };
  PYCONV_INLINE_MEMBER void end_block(const ChannelSums&, int64_t, int64_t, int64_t) const {}
};

// Bias, ReLU and the sums for batch normalisation's statistics; pooling.
struct TrainEpilogue {
  TargetShape target;
  const float* bias;
  Conv2dEpilogue epilogue;
  float *y, *pooled;
  bool streams;

  template <bool kWhole>
  struct Finisher {
    const ChannelSums& sums;
    const int64_t channel;
    Vec offset, low, about, first{}, second{};
    PYCONV_INLINE_MEMBER Finisher(const TrainEpilogue& e, const ChannelSums& s, const TileOutput& t, Vec mean)
        : sums(s), channel(t.channel) {
      offset = load_or(e.bias ? e.bias + channel : nullptr, t.lanes, 0);
      low = floor_of(e.epilogue.relu);
      if (t.first) store(sums.about + channel, at_least(low, mean + offset));
      about = load(sums.about + channel);
    }
    PYCONV_INLINE_MEMBER Vec next(Vec v, int64_t) {
      v = at_least(low, v + offset);
      const Vec d = v - about;
      first += d;
      second += d * d;
      return v;
    }
    PYCONV_INLINE_MEMBER void end() const { sums.add(channel, first, second); }
  };
  PYCONV_INLINE_MEMBER void end_block(const ChannelSums& sums, int64_t begin, int64_t end, int64_t pixels) const {
    sums.add_moments(begin, end, pixels);
  }
  PYCONV_INLINE_MEMBER Vec pool_sign(const TileOutput& t) const {
    const float* gamma = epilogue.statistics.mean ? epilogue.statistics.gamma : nullptr;
    return load_or(gamma ? gamma + t.channel : nullptr, t.lanes, 1);
  }
  PYCONV_INLINE_MEMBER uint8_t* argmax() const { return epilogue.argmax; }
};

// Bias, ReLU, a normalisation known beforehand, ReLU again; pooling.
struct PredictEpilogue {
  TargetShape target;
  const float* bias;
  Conv2dEpilogue epilogue;
  float *y, *pooled;
  bool streams;

  template <bool kWhole>
  struct Finisher {
    Vec offset, low, scale, shift, end_low;
    PYCONV_INLINE_MEMBER Finisher(const PredictEpilogue& e, const ChannelSums&, const TileOutput& t, Vec) {
      const ScaleShift& n = e.epilogue.output;
      offset = load_or(e.bias ? e.bias + t.channel : nullptr, t.lanes, 0);
      low = floor_of(e.epilogue.relu);
      scale = load_or(n.scale ? n.scale + t.channel : nullptr, t.lanes, 1);
      shift = load_or(n.scale ? n.shift + t.channel : nullptr, t.lanes, 0);
      end_low = floor_of(n.relu);
    }
    PYCONV_INLINE_MEMBER Vec next(Vec v, int64_t) {
      return scale_shift(at_least(low, v + offset), scale, shift, end_low);
    }
    PYCONV_INLINE_MEMBER void end() const {}
  };
  PYCONV_INLINE_MEMBER void end_block(const ChannelSums&, int64_t, int64_t, int64_t) const {}
  PYCONV_INLINE_MEMBER Vec pool_sign(const TileOutput&) const { return broadcast(1); }
  PYCONV_INLINE_MEMBER uint8_t* argmax() const { return epilogue.argmax; }
};

// The input gradient, and the sums of the batch normalisation before.
template <bool kRelu>
struct ReduceEpilogue {
  TargetShape target;
  BatchNormReduction reduction;
  float *y, *pooled = nullptr;  // y: dx
  bool streams;

  template <bool kWhole>
  struct Finisher {
    const ChannelSums& sums;
    const float* x;
    const int64_t channel, lanes;
    Vec mean, scale{}, shift{}, first{}, second{};
    PYCONV_INLINE_MEMBER Finisher(const ReduceEpilogue& e, const ChannelSums& s, const TileOutput& t, Vec)
        : sums(s), x(e.reduction.x), channel(t.channel), lanes(t.lanes) {
      mean = load_lanes(e.reduction.mean + channel, lanes);
      if constexpr (kRelu) {
        scale = load_lanes(e.reduction.normalization.scale + channel, lanes);
        shift = load_lanes(e.reduction.normalization.shift + channel, lanes);
      }
    }
    PYCONV_INLINE_MEMBER Vec next(Vec v, int64_t at) {
      const Vec value = kWhole ? load(x + at) : load_lanes(x + at, lanes);
      Vec d = v;
      if constexpr (kRelu) d = masked_by_relu(d, value, scale, shift, Vec{});
      first += d;
      second += d * (value - mean);
      return v;
    }
    PYCONV_INLINE_MEMBER void end() const { sums.add(channel, first, second); }
  };
  PYCONV_INLINE_MEMBER void end_block(const ChannelSums& sums, int64_t begin, int64_t end, int64_t) const {
    sums.add_products(begin, end);
  }
};

// Where a pass keeps its sums: a row for each of `chunks`, of two sums for each of `channels` (the target's,
// rounded up).
struct ChunkTotals {
  double* rows;
  int64_t chunks, channels;

  void clear() const { __builtin_memset(rows, 0, static_cast<size_t>(chunks * 2 * channels) * sizeof(double)); }
  // Adds the rows up in order, into the first one. Calls body(c, first sum, second sum) for each of K channels.
  template <class Body>
  PYCONV_INLINE_MEMBER void merge(int64_t K, const Body& body) const {
    for (int64_t chunk = 1; chunk < chunks; ++chunk)
      for (int64_t i = 0; i < 2 * channels; ++i) rows[i] += rows[chunk * 2 * channels + i];
    for (int64_t c = 0; c < K; ++c) body(c, rows[c], rows[channels + c]);
  }
};

// ---- from a pass's arguments to its epilogue

// Whether it takes sums of what it writes.
PYCONV_INLINE bool takes_sums(const ForwardPass& p) {
  return p.epilogue.statistics.mean;
}
PYCONV_INLINE bool takes_sums(const BackwardInputPass& p) {
  return p.reduction.mean;
}

// Whether there is anything to do but to add the bias.
PYCONV_INLINE bool has_epilogue(const ForwardPass& p) {
  const Conv2dEpilogue& e = p.epilogue;
  return e.statistics.mean || e.pooled || e.relu || e.output.scale;
}
PYCONV_INLINE bool has_epilogue(const BackwardInputPass& p) {
  return takes_sums(p);
}

// Calls run(policy) with the policy that the pass asks for. `bias` is null where the sums have it already.
template <class Run>
PYCONV_INLINE void with_epilogue(const ForwardPass& p, const float* bias, const TargetShape& target,
                                 const Run& run) {
  const Conv2dEpilogue& e = p.epilogue;
  const bool streams = streams_to(p.y, target);
  if (e.statistics.mean || (e.pooled && p.y))
    run(TrainEpilogue{target, bias, e, p.y, e.pooled, streams});
  else if (has_epilogue(p))
    run(PredictEpilogue{target, bias, e, p.y, e.pooled, streams});
  else
    run(StoreSums{target, bias, p.y, nullptr, streams});
}
template <class Run>
PYCONV_INLINE void with_epilogue(const BackwardInputPass& p, const float* bias, const TargetShape& target,
                                 const Run& run) {
  const BatchNormReduction& r = p.reduction;
  const bool streams = streams_to(p.dx, target);
  if (!r.mean)
    run(StoreSums{target, bias, p.dx, nullptr, streams});
  else if (r.normalization.relu)
    run(ReduceEpilogue<true>{target, r, p.dx, nullptr, streams});
  else
    run(ReduceEpilogue<false>{target, r, p.dx, nullptr, streams});
}

// After the pass: from the chunks' sums to what was asked for.
PYCONV_INLINE void write_sums(const ForwardPass& p, const TargetShape& target, const ChunkTotals& totals) {
  const int64_t M = target.N * target.H * target.W;
  if (takes_sums(p))
    totals.merge(target.K, [&](int64_t c, double sum, double squares) {
      write_moments(p.epilogue.statistics, c, M, sum, squares);
    });
}
PYCONV_INLINE void write_sums(const BackwardInputPass& p, const TargetShape& target, const ChunkTotals& totals) {
  if (takes_sums(p))
    totals.merge(target.K, [&](int64_t c, double sum, double product) {
      write_reduction(p.reduction, target.K, c, sum, product);
    });
}

// Outputs that lie in memory: channels [begin, end) of the pixels at `rows`, in place.
template <class Epilogue>
PYCONV_INLINE void finish_rows(const Epilogue& e, float* const* rows, int64_t count, int64_t begin, int64_t end,
                               bool first, const ChannelSums& sums) {
  const auto run = [&]<bool kWhole>(const TileOutput& t) PYCONV_LANES_BODY {
    const auto take = [&](const float* p) PYCONV_LANES_BODY { return kWhole ? load(p) : load_lanes(p, t.lanes); };
    Vec total{};
    for (int64_t r = 0; r < count; ++r) total += take(rows[r] + t.channel);
    typename Epilogue::template Finisher<kWhole> channels(e, sums, t, total / static_cast<float>(count));
    for (int64_t r = 0; r < count; ++r) {
      float* p = rows[r] + t.channel;
      const Vec v = channels.next(take(p), p - e.y);
      if (kWhole)
        store(p, v);
      else
        store_part(p, v, t.lanes);
    }
    channels.end();
  };
  for (int64_t c = begin; c < end; c += kVecFloats) {
    const TileOutput t{0, 0, 0, 1, 1, c, min(kVecFloats, end - c), first};
    if (t.lanes == kVecFloats)
      run.template operator()<true>(t);
    else
      run.template operator()<false>(t);
  }
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
