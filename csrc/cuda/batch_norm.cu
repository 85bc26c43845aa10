// Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167): blocks reduce parts of the rows, one
// warp a channel merges the parts in a fixed order, then all elements are passed over once.
#include "batch_norm.cuh"

namespace pyconv::cuda {

namespace {

constexpr int kColumns = 32, kRows = 8;  // of a reducing block's threads: channels, and rows side by side
constexpr int64_t kRowsPerPart = 16 * kRows, kMostParts = 512;

int64_t parts_of(int64_t M) {
  const int64_t parts = ceil_div(M, kRowsPerPart);
  return parts < 1 ? 1 : parts < kMostParts ? parts : kMostParts;
}

// Collect: T (Moments, Products) of(c, first row, end, step) over its rows. Blocks: channels, parts.
template <class T, class Collect>
struct Reduce {
  static constexpr int kThreads = kColumns * kRows;
  Collect collect;
  int64_t M, C, parts;
  double* sums;
  PYCONV_DEVICE void operator()() const {
    const int64_t c = block_index() * kColumns + thread_index() % kColumns, part = block_index_y();
    const int64_t begin = M * part / parts + thread_index() / kColumns, end = M * (part + 1) / parts;
    T mine;
    if (c < C && begin < end) mine = collect(c, begin, end);
    const T joined = join_rows<kColumns, kRows>(mine, [](T& a, const T& b) { a.merge(b); });
    if (thread_index() < kColumns && c < C) joined.write(sums, part, C, c);
  }
};

template <class T, class Collect>
Status reduce(const Context& context, const Collect& collect, int64_t M, int64_t C, double* sums) {
  const Reduce<T, Collect> kernel{collect, M, C, parts_of(M), sums};
  return launch(context, kernel, {ceil_div(C, kColumns), parts_of(M)}, kernel.kThreads * sizeof(T));
}

struct CollectMoments {
  int64_t C;
  const float* x;
  PYCONV_DEVICE Moments operator()(int64_t c, int64_t begin, int64_t end) const {
    // About the first value: as exact as a float sum over deviations, however large the mean.
    const float about = x[begin * C + c];
    float sum = 0, squares = 0;
    int64_t count = 0;
    for (int64_t row = begin; row < end; row += kRows, ++count) {
      const float d = x[row * C + c] - about;
      sum += d;
      squares += d * d;
    }
    return Moments::of(count, about, sum, squares);
  }
};

struct CollectProducts {
  int64_t C;
  const float *dy, *x, *mean;
  ScaleShift closes;  // for its ReLU
  PYCONV_DEVICE Products operator()(int64_t c, int64_t begin, int64_t end) const {
    const float about = mean[c], scale = closes.relu ? closes.scale[c] : 0;
    const float shift = closes.relu ? closes.shift[c] : 1;
    float sum = 0, product = 0;
    for (int64_t row = begin; row < end; row += kRows) {
      const float value = x[row * C + c], d = masked_by_relu(dy[row * C + c], value, scale, shift, 0.0f);
      sum += d;
      product += d * (value - about);
    }
    return {sum, product};
  }
};

// A block takes a channel: its threads join a part or two each, then each other in a fixed tree; finish(c, T).
// Nearly all of its time is spent waiting, so that what counts is how few steps follow each other.
template <class T, class Finish>
struct Merge {
  static constexpr int kThreads = 256;
  static constexpr size_t kSharedBytes = kThreads / kWarp * sizeof(T);
  Finish finish;
  int64_t C, parts;
  const double* sums;
  PYCONV_DEVICE void operator()() const {
    const int64_t c = block_index();
    T mine, *warps = shared<T>();
    for (int64_t part = thread_index(); part < parts; part += kThreads) mine.merge(T::read(sums, part, C, c));
    for (int mask = kWarp / 2; mask; mask /= 2) mine.merge(mine.of_lane(mask));
    if (lane_index() == 0) warps[warp_index()] = mine;
    barrier();
    if (thread_index()) return;
    for (int warp = 1; warp < kThreads / kWarp; ++warp) mine.merge(warps[warp]);
    finish(c, mine);
  }
};

template <class T, class Finish>
Status merge(const Context& context, const Finish& finish, int64_t C, int64_t parts, const double* sums) {
  const Merge<T, Finish> kernel{finish, C, parts, sums};
  return launch(context, kernel, {C}, kernel.kSharedBytes);
}

struct FinishStatistics {
  BatchNormStatistics statistics;
  int64_t M;
  float* shift_about;  // null, or of y = scale * (x - mean) + shift
  PYCONV_DEVICE void operator()(int64_t c, const Moments& all) const {
    const double variance = all.squares / static_cast<double>(M > 1 ? M : 1);
    write_statistics(statistics, c, M, all.mean, variance < 0 ? 0 : variance);
    if (shift_about) shift_about[c] = shift_about_mean(statistics, c, all.mean);
  }
};

struct FinishReduction {
  BatchNormReduction reduction;
  int64_t C;
  PYCONV_DEVICE void operator()(int64_t c, const Products& all) const {
    write_reduction(reduction, C, c, all.sum, all.product);
  }
};

struct FinishGradients {
  int64_t M, C;
  const float *gamma, *rstd;
  float *dgamma, *dbeta, *coefficients;  // scale, slope, shift
  PYCONV_DEVICE void operator()(int64_t c, const Products& all) const {
    const BatchNormGradient g = batch_norm_gradient(M, c, gamma, rstd, all.sum, all.product, dgamma, dbeta);
    coefficients[c] = static_cast<float>(g.scale);
    coefficients[C + c] = static_cast<float>(g.slope);
    coefficients[2 * C + c] = static_cast<float>(g.shift);
  }
};

// y = scale * (x - mean) + shift.
struct NormalizeAboutMean {
  int64_t C;
  const float *x, *mean, *scale, *shift;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t c = i % C;
    y[i] = scale[c] * (x[i] - mean[c]) + shift[c];
  }
};

struct InferenceScale {
  BatchNormShape s;
  const float *gamma, *beta, *variance;
  float *scale, *shift;
  PYCONV_DEVICE void operator()(int64_t c) const {
    scale[c] = static_cast<float>(inference_scale(s.epsilon, c, gamma, variance));
    shift[c] = beta ? beta[c] : 0;
  }
};

// dx = scale * dy + slope * (x - mean) + shift.
struct ApplyGradients {
  int64_t C;
  const float *dy, *x, *mean, *coefficients;
  float* dx;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t c = i % C;
    const float constant = coefficients[C + c] * (x[i] - mean[c]) + coefficients[2 * C + c];
    dx[i] = coefficients[c] * dy[i] + constant;
  }
};

// The workspace: parts, then a pass's coefficients (3, C).
struct Workspace {
  double* parts;
  float* coefficients;
  Workspace(const BatchNormShape& s, void* memory)
      : parts(static_cast<double*>(memory)),
        coefficients(reinterpret_cast<float*>(static_cast<char*>(memory) + batch_norm_parts_bytes(s.M, s.C))) {}
};

}  // namespace

size_t batch_norm_parts_bytes(int64_t M, int64_t C) {
  return static_cast<size_t>(parts_of(M) * Moments::kNumbers * C) * sizeof(double);
}

Status merge_statistics(const Context& context, int64_t M, int64_t C, const double* parts, int64_t count,
                        const BatchNormStatistics& statistics) {
  return merge<Moments>(context, FinishStatistics{statistics, M, nullptr}, C, count, parts);
}

Status merge_gradients(const Context& context, int64_t C, const double* parts, int64_t count,
                       const BatchNormReduction& reduction) {
  return merge<Products>(context, FinishReduction{reduction, C}, C, count, parts);
}

Status reduce_statistics(const Context& context, int64_t M, int64_t C, const float* x,
                         const BatchNormStatistics& statistics, double* parts) {
  const Status status = reduce<Moments>(context, CollectMoments{C, x}, M, C, parts);
  return status.message ? status : merge_statistics(context, M, C, parts, parts_of(M), statistics);
}

Status reduce_gradients(const Context& context, int64_t M, int64_t C, const float* dy, const BatchNormReduction& r,
                        double* parts) {
  const Status status =
      reduce<Products>(context, CollectProducts{C, dy, r.x, r.mean, r.normalization}, M, C, parts);
  return status.message ? status : merge_gradients(context, C, parts, parts_of(M), r);
}

size_t batch_norm_workspace(const Context&, const BatchNormShape& s) {
  return batch_norm_parts_bytes(s.M, s.C) + static_cast<size_t>(3 * s.C) * sizeof(float);
}

Status batch_norm(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                  const float* beta, float* running_mean, float* running_variance, float* y, float* mean,
                  float* rstd) {
  const Workspace w(s, context.workspace);
  float *scale = w.coefficients, *shift = scale + s.C, *about = shift + s.C;
  const BatchNormStatistics statistics{s.epsilon,        s.momentum, gamma, beta,  running_mean,
                                       running_variance, mean,       rstd,  scale, shift};
  Status status = reduce<Moments>(context, CollectMoments{s.C, x}, s.M, s.C, w.parts);
  if (status.message) return status;
  status = merge<Moments>(context, FinishStatistics{statistics, s.M, about}, s.C, parts_of(s.M), w.parts);
  if (status.message) return status;
  return for_each(context, s.M * s.C, NormalizeAboutMean{s.C, x, mean, scale, about, y});
}

Status batch_norm_inference(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                            const float* beta, const float* mean, const float* variance, float* y) {
  const Workspace w(s, context.workspace);
  float *scale = w.coefficients, *shift = scale + s.C;
  const Status status = for_each(context, s.C, InferenceScale{s, gamma, beta, variance, scale, shift});
  if (status.message) return status;
  return for_each(context, s.M * s.C, NormalizeAboutMean{s.C, x, mean, scale, shift, y});
}

Status batch_norm_backward(const Context& context, const BatchNormShape& s, const float* dy, const float* x,
                           const float* gamma, const float* mean, const float* rstd, float* dx, float* dgamma,
                           float* dbeta) {
  const Workspace w(s, context.workspace);
  Status status = reduce<Products>(context, CollectProducts{s.C, dy, x, mean, {}}, s.M, s.C, w.parts);
  if (status.message) return status;
  const FinishGradients finish{s.M, s.C, gamma, rstd, dgamma, dbeta, w.coefficients};
  status = merge<Products>(context, finish, s.C, parts_of(s.M), w.parts);
  if (status.message) return status;
  return for_each(context, s.M * s.C, ApplyGradients{s.C, dy, x, mean, w.coefficients, dx});
}

// ---- fused

namespace {

struct Normalize {
  int64_t C;
  const float* x;
  ScaleShift n;
  float* y;
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Index c = i % static_cast<Index>(C);
    auto v = load<kWidth>(x + i);
    const auto scale = load<kWidth>(n.scale + c), shift = load<kWidth>(n.shift + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v.v[e] = scale_shift(v.v[e], scale.v[e], shift.v[e], n.relu);
    store(y + i, v);
  }
};

struct Fold {
  float epsilon;
  const float *gamma, *beta, *mean, *variance;
  float *scale, *shift;
  PYCONV_DEVICE void operator()(int64_t c) const {
    write_fold(epsilon, c, gamma, beta, mean, variance, scale, shift);
  }
};

}  // namespace

Status normalize(const Context& context, const BatchNormShape& s, const float* x, const ScaleShift& n, float* y) {
  return for_packs(context, s.M, s.C, Normalize{s.C, x, n, y}, x, n.scale, n.shift, y);
}

Status batch_norm_fold(const Context& context, const BatchNormShape& s, const float* gamma, const float* beta,
                       const float* mean, const float* variance, float* scale, float* shift) {
  return for_each(context, s.C, Fold{s.epsilon, gamma, beta, mean, variance, scale, shift});
}

Status batch_norm_reduce(const Context& context, const BatchNormShape& s, const float* dy,
                         const BatchNormReduction& r) {
  return reduce_gradients(context, s.M, s.C, dy, r, static_cast<double*>(context.workspace));
}

}  // namespace pyconv::cuda
