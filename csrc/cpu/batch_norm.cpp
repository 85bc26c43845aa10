// Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167): one pass reduces, one applies. Sums
// run in float over blocks of rows, in double beyond. A block's moments are taken about the mean of the rows
// before it, which is no further from the block's own than the variance accounts for: however large the mean,
// the variance is as exact as a float sum over one block. Few channels are folded: `width` of them are several
// rows side by side, enough to fill the registers.
#include "batch_norm.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

constexpr int64_t kBlockRows = 128;
constexpr int kUnroll = 4;  // registers of each sum: hides the latency of an addition

// The workspace: two sums for each folded channel of each partial, and what the applying pass works with.
struct Folded {
  int64_t size, C, width, partials;
  double* sums;                         // (partials, 2, width)
  float *mean, *scale, *slope, *shift;  // (width) each

  Folded(const BatchNormShape& s, void* workspace) : size(s.M * s.C), C(s.C), width(channel_period(s.C)) {
    partials = max(1, min(kMaxPartials, size / max(16384, width)));
    sums = static_cast<double*>(workspace);
    mean = reinterpret_cast<float*>(sums + partials * 2 * width);
    scale = mean + width, slope = scale + width, shift = slope + width;
  }
  size_t bytes() const {
    return static_cast<size_t>(partials * 2 * width) * sizeof(double) +
           static_cast<size_t>(4 * width) * sizeof(float);
  }

  void merge_partials() const {
    for (int64_t p = 1; p < partials; ++p)
      for (int64_t i = 0; i < 2 * width; ++i) sums[i] += sums[p * 2 * width + i];
  }
  double total(int which, int64_t c) const {
    double sum = 0;
    for (int64_t i = c; i < width; i += C) sum += sums[which * width + i];
    return sum;
  }
  // From C coefficients to `width` of them.
  void repeat(float* coefficients) const {
    for (int64_t i = C; C && i < width; ++i) coefficients[i] = coefficients[i - C];
  }
};

// Fills the sums, a block of rows at a time. reduce<Lanes, n>(i, rows, before, c, sums) adds n registers of each
// of `rows` rows, from element i (channel c) on, to sums[0 ...] and sums[width ...], which hold `before` rows.
template <class Reduce>
PYCONV_INLINE void reduce_rows(const Folded& folded, const Reduce& reduce) {
  parallel(folded.partials, [&](int64_t chunk) {
    const int64_t width = folded.width;
    double* sums = folded.sums + chunk * 2 * width;
    __builtin_memset(sums, 0, static_cast<size_t>(2 * width) * sizeof(double));
    const Range r = chunk_range(folded.size, folded.partials, chunk, width);
    for (int64_t i = r.begin; i < r.end;) {
      // The very last row may be short: it is a block of its own.
      const int64_t rows = max(1, min(kBlockRows, (r.end - i) / width)), before = (i - r.begin) / width;
      const int64_t channels = min(width, r.end - i);
      int64_t c = 0;
      for (; c + kUnroll * kVecFloats <= channels; c += kUnroll * kVecFloats)
        reduce.template operator()<Lanes<kVecFloats>, kUnroll>(i + c, rows, before, c, sums + c);
      for_lanes(c, channels, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
        reduce.template operator()<decltype(lanes), 1>(i + c, rows, before, c, sums + c);
      });
      i += rows * width;
    }
  });
  folded.merge_partials();
}

// Calls function(j, first, second) with each lane, as doubles.
template <class L, int n, class Function>
PYCONV_INLINE void add_lanes(const typename L::Float (&first)[n], const typename L::Float (&second)[n],
                             const Function& function) {
  float a[n * L::kCount], b[n * L::kCount];
  __builtin_memcpy(a, first, sizeof(a));
  __builtin_memcpy(b, second, sizeof(b));
  for (int j = 0; j < n * L::kCount; ++j) function(j, double{a[j]}, double{b[j]});
}

// sums: x, x^2.
void reduce_moments(const Folded& folded, const float* x) {
  reduce_rows(folded, [=, width = folded.width]<class L, int n>(int64_t i, int64_t rows, int64_t before, int64_t,
                                                                double* sums) PYCONV_LANES_BODY {
    typename L::Float about[n]{}, first[n]{}, second[n]{};
    const auto load_row = [&](int64_t row, int u)
                              PYCONV_LANES_BODY { return load_float<L>(x + i + row * width + u * L::kCount); };
    float mean[n * L::kCount];
    if (before) {
      for (int j = 0; j < n * L::kCount; ++j) mean[j] = static_cast<float>(sums[j] / static_cast<double>(before));
      __builtin_memcpy(about, mean, sizeof(mean));
    } else {
      for (int64_t row = 0; row < rows; ++row) {
        PYCONV_UNROLL
        for (int u = 0; u < n; ++u) about[u] += load_row(row, u);
      }
      PYCONV_UNROLL
      for (int u = 0; u < n; ++u) about[u] /= static_cast<float>(rows);
      __builtin_memcpy(mean, about, sizeof(mean));
    }
    for (int64_t row = 0; row < rows; ++row) {
      PYCONV_UNROLL
      for (int u = 0; u < n; ++u) {
        const auto d = load_row(row, u) - about[u];
        first[u] += d;
        second[u] += d * d;
      }
    }
    add_lanes<L, n>(first, second, [&](int j, double d, double dd) PYCONV_LANES_BODY {
      const double m = mean[j], count = static_cast<double>(rows);
      sums[j] += d + count * m;
      sums[width + j] += dd + m * (2 * d + count * m);
    });
  });
}

// sums: d, d * (x - mean), where d is dy, or 0 where kRelu finds scale * x + shift closed.
template <bool kRelu>
void reduce_gradients(const Folded& folded, const float* dy, const float* x) {
  reduce_rows(folded, [=, width = folded.width, mean = folded.mean, scales = folded.scale,
                       shifts = folded.shift]<class L, int n>(int64_t begin, int64_t rows, int64_t, int64_t c,
                                                              double* sums) PYCONV_LANES_BODY {
    typename L::Float about[n], scale[n], shift[n], first[n]{}, second[n]{};
    PYCONV_UNROLL
    for (int u = 0; u < n; ++u) {
      about[u] = load_float<L>(mean + c + u * L::kCount);
      if constexpr (kRelu) {
        scale[u] = load_float<L>(scales + c + u * L::kCount);
        shift[u] = load_float<L>(shifts + c + u * L::kCount);
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      PYCONV_UNROLL
      for (int u = 0; u < n; ++u) {
        const int64_t i = begin + row * width + u * L::kCount;
        auto g = load_float<L>(dy + i);
        const auto value = load_float<L>(x + i);
        if constexpr (kRelu) g = masked_by_relu(g, value, scale[u], shift[u], typename L::Float{});
        first[u] += g;
        second[u] += g * (value - about[u]);
      }
    }
    add_lanes<L, n>(first, second, [&](int j, double g, double gd) PYCONV_LANES_BODY {
      sums[j] += g;
      sums[width + j] += gd;
    });
  });
}

// Calls body(lanes, i, c) along all elements i, with the folded channel c of each.
template <class Body>
PYCONV_INLINE void for_elements(const Folded& folded, const Body& body) {
  const int64_t chunks = elementwise_chunks(folded.size);
  parallel(chunks, [&](int64_t chunk) {
    const Body local = body;
    const int64_t width = folded.width;
    const Range r = chunk_range(folded.size, chunks, chunk, width);
    for (int64_t i = r.begin; i < r.end; i += width)
      for_lanes(0, min(width, r.end - i),
                [&](auto lanes, int64_t c) PYCONV_LANES_BODY { local(lanes, i + c, c); });
  });
}

// y = scale * (x - mean) + shift.
void normalize(const Folded& folded, const float* x, float* y) {
  folded.repeat(folded.mean);
  folded.repeat(folded.scale);
  folded.repeat(folded.shift);
  for_elements(folded, [=, mean = folded.mean, scale = folded.scale, shift = folded.shift](
                           auto lanes, int64_t i, int64_t c) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    const auto d = load_float<L>(x + i) - load_float<L>(mean + c);
    store_as(y + i, load_float<L>(scale + c) * d + load_float<L>(shift + c));
  });
}

}  // namespace

size_t batch_norm_workspace(const Context&, const BatchNormShape& s) {
  return Folded(s, nullptr).bytes();
}

Status batch_norm(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                  const float* beta, float* running_mean, float* running_variance, float* y, float* mean,
                  float* rstd) {
  const Folded folded(s, context.workspace);
  reduce_moments(folded, x);
  const BatchNormStatistics statistics{s.epsilon,        s.momentum, gamma, beta,         running_mean,
                                       running_variance, mean,       rstd,  folded.scale, folded.shift};
  for (int64_t c = 0; c < s.C; ++c) {
    const double total = folded.total(0, c), m = total / static_cast<double>(max(1, s.M));
    write_moments(statistics, c, s.M, total, folded.total(1, c));
    folded.mean[c] = mean[c];
    folded.shift[c] = shift_about_mean(statistics, c, m);
  }
  normalize(folded, x, y);
  return kOk;
}

Status batch_norm_inference(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                            const float* beta, const float* mean, const float* variance, float* y) {
  const Folded folded(s, context.workspace);
  for (int64_t c = 0; c < s.C; ++c) {
    folded.mean[c] = mean[c];
    folded.scale[c] = static_cast<float>(inference_scale(s.epsilon, c, gamma, variance));
    folded.shift[c] = beta ? beta[c] : 0;
  }
  normalize(folded, x, y);
  return kOk;
}

Status batch_norm_backward(const Context& context, const BatchNormShape& s, const float* dy, const float* x,
                           const float* gamma, const float* mean, const float* rstd, float* dx, float* dgamma,
                           float* dbeta) {
  const Folded folded(s, context.workspace);
  for (int64_t c = 0; c < s.C; ++c) folded.mean[c] = mean[c];
  folded.repeat(folded.mean);
  reduce_gradients<false>(folded, dy, x);
  for (int64_t c = 0; c < s.C; ++c) {
    const BatchNormGradient g =
        batch_norm_gradient(s.M, c, gamma, rstd, folded.total(0, c), folded.total(1, c), dgamma, dbeta);
    folded.scale[c] = static_cast<float>(g.scale);
    folded.slope[c] = static_cast<float>(g.slope);
    folded.shift[c] = static_cast<float>(g.shift);
  }
  folded.repeat(folded.scale);
  folded.repeat(folded.slope);
  folded.repeat(folded.shift);
  for_elements(folded, [=, mean = folded.mean, scale = folded.scale, slope = folded.slope, shift = folded.shift](
                           auto lanes, int64_t i, int64_t c) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    const auto d = load_float<L>(x + i) - load_float<L>(mean + c);
    const auto constant = load_float<L>(slope + c) * d + load_float<L>(shift + c);
    store_as(dx + i, load_float<L>(scale + c) * load_float<L>(dy + i) + constant);
  });
  return kOk;
}

// ---- fused

Status normalize(const Context& context, const BatchNormShape& s, const float* x, const ScaleShift& n, float* y) {
  const Folded folded(s, context.workspace);
  for (int64_t c = 0; c < s.C; ++c) folded.scale[c] = n.scale[c], folded.shift[c] = n.shift[c];
  folded.repeat(folded.scale);
  folded.repeat(folded.shift);
  for_elements(folded, [=, low = n.relu ? 0 : -__builtin_inff(), scale = folded.scale, shift = folded.shift](
                           auto lanes, int64_t i, int64_t c) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    const auto v = load_float<L>(x + i);
    store_as(y + i, scale_shift(v, load_float<L>(scale + c), load_float<L>(shift + c), typename L::Float{} + low));
  });
  return kOk;
}

Status batch_norm_fold(const Context&, const BatchNormShape& s, const float* gamma, const float* beta,
                       const float* mean, const float* variance, float* scale, float* shift) {
  for (int64_t c = 0; c < s.C; ++c) write_fold(s.epsilon, c, gamma, beta, mean, variance, scale, shift);
  return kOk;
}

Status batch_norm_reduce(const Context& context, const BatchNormShape& s, const float* dy,
                         const BatchNormReduction& r) {
  const Folded folded(s, context.workspace);
  const bool closes = r.normalization.relu;
  for (int64_t c = 0; c < s.C; ++c) {
    folded.mean[c] = r.mean[c];
    if (closes) folded.scale[c] = r.normalization.scale[c], folded.shift[c] = r.normalization.shift[c];
  }
  folded.repeat(folded.mean);
  if (closes) {
    folded.repeat(folded.scale);
    folded.repeat(folded.shift);
    reduce_gradients<true>(folded, dy, r.x);
  } else {
    reduce_gradients<false>(folded, dy, r.x);
  }
  for (int64_t c = 0; c < s.C; ++c) write_reduction(r, s.C, c, folded.total(0, c), folded.total(1, c));
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
