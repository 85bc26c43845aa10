// Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167): blocks reduce parts of the rows, one
// warp a channel merges the parts in a fixed order, then all elements are passed over once.
#include "../formulas.h"
#include "cuda.h"

namespace pyconv::cuda {

namespace {

constexpr int kColumns = 32, kRows = 8;  // of a reducing block's threads: channels, and rows side by side
constexpr int64_t kRowsPerPart = 16 * kRows, kMostParts = 512;

int64_t parts_of(const BatchNormShape& s) {
  const int64_t parts = ceil_div(s.M, kRowsPerPart);
  return parts < 1 ? 1 : parts < kMostParts ? parts : kMostParts;
}

// The workspace: two doubles for each channel of each part, then a pass's coefficients (3, C).
struct Workspace {
  double* sums;
  float* coefficients;
  Workspace(const BatchNormShape& s, void* memory)
      : sums(static_cast<double*>(memory)), coefficients(reinterpret_cast<float*>(sums + parts_of(s) * 2 * s.C)) {}
};

// What a thread collects over its rows of one channel, and how two such are joined.
struct Moments {  // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979
  double count = 0, mean = 0, squares = 0;
  PYCONV_DEVICE void merge(const Moments& other) {
    const double total = count + other.count, delta = other.mean - mean;
    if (other.count == 0) return;
    mean += delta * (other.count / total);
    squares += other.squares + delta * delta * (count * other.count / total);
    count = total;
  }
};

// Rows of a part of M rows.
struct Part {
  int64_t begin, end;
  PYCONV_DEVICE Part(int64_t M, int64_t parts, int64_t part)
      : begin(M * part / parts), end(M * (part + 1) / parts) {}
};

// Each thread's value joined over the rows of a block, in order; of use in the threads of row 0.
template <class T, class Merge>
PYCONV_DEVICE T join_rows(const T& mine, const Merge& merge) {
  T* values = shared<T>();
  values[thread_index()] = mine;
  barrier();
  T joined = mine;
  for (int row = 1; row < kRows && thread_index() < kColumns; ++row)
    merge(joined, values[row * kColumns + thread_index()]);
  return joined;
}

constexpr int kMergeThreads = 128;

Grid merging_grid(const BatchNormShape& s) {
  return {ceil_div(s.C, kMergeThreads / kWarp)};
}
PYCONV_DEVICE int64_t merged_channel() {
  return block_index() * (kMergeThreads / kWarp) + warp_index();
}

struct ReduceMoments {
  static constexpr int kThreads = kColumns * kRows;
  int64_t M, C, parts;
  const float* x;
  double* sums;  // (parts, 2, C): mean, sum of squared deviations
  PYCONV_DEVICE void operator()() const {
    const int64_t c = block_index() * kColumns + thread_index() % kColumns;
    const Part part(M, parts, block_index_y());
    Moments mine;
    const int64_t first_row = part.begin + thread_index() / kColumns;
    if (c < C && first_row < part.end) {
      // About the first value: as exact as a float sum over deviations, however large the mean.
      const float about = x[first_row * C + c];
      float sum = 0, squares = 0;
      int64_t count = 0;
      for (int64_t row = first_row; row < part.end; row += kRows, ++count) {
        const float d = x[row * C + c] - about;
        sum += d;
        squares += d * d;
      }
      const double n = static_cast<double>(count), mean = sum / n;
      mine.count = n, mine.mean = about + mean, mine.squares = squares - n * mean * mean;
    }
    const Moments joined = join_rows(mine, [](Moments& a, const Moments& b) { a.merge(b); });
    if (thread_index() >= kColumns || c >= C) return;
    sums[(block_index_y() * 2) * C + c] = joined.mean;
    sums[(block_index_y() * 2 + 1) * C + c] = joined.squares;
  }
};

// A warp takes a channel: its lanes join every 32nd part, then each other in a fixed tree.
struct MergeMoments {
  static constexpr int kThreads = kMergeThreads;
  BatchNormStatistics statistics;
  int64_t M, C, parts;
  const double* sums;
  float* coefficients;  // mean, scale, shift: y = scale * (x - mean) + shift
  PYCONV_DEVICE void operator()() const {
    const int64_t c = merged_channel();
    if (c >= C) return;
    Moments all;
    for (int64_t p = lane_index(); p < parts; p += kWarp) {
      const Part part(M, parts, p);
      Moments one;
      one.count = static_cast<double>(part.end - part.begin);
      one.mean = sums[2 * p * C + c], one.squares = sums[(2 * p + 1) * C + c];
      all.merge(one);
    }
    for (int mask = kWarp / 2; mask; mask /= 2) {
      Moments other;
      other.count = shuffle_xor(all.count, mask);
      other.mean = shuffle_xor(all.mean, mask);
      other.squares = shuffle_xor(all.squares, mask);
      all.merge(other);
    }
    if (lane_index()) return;
    const double variance = all.squares / static_cast<double>(M > 1 ? M : 1);
    write_statistics(statistics, c, M, all.mean, variance < 0 ? 0 : variance);
    // The mean is taken off before scaling: what a float cannot hold of it goes into the shift.
    const float mean = statistics.mean[c], scale = statistics.scale[c];
    coefficients[c] = mean;
    statistics.shift[c] =
        static_cast<float>((statistics.beta ? statistics.beta[c] : 0) - (all.mean - double{mean}) * double{scale});
  }
};

// y = scale * (x - mean) + shift.
struct Normalize {
  int64_t C;
  const float *x, *coefficients;  // (3, C)
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t c = i % C;
    y[i] = coefficients[C + c] * (x[i] - coefficients[c]) + coefficients[2 * C + c];
  }
};

struct InferenceCoefficients {
  BatchNormShape s;
  const float *gamma, *beta, *mean, *variance;
  float* coefficients;
  PYCONV_DEVICE void operator()(int64_t c) const {
    coefficients[c] = mean[c];
    coefficients[s.C + c] =
        static_cast<float>((gamma ? gamma[c] : 1) / sqrt(double{variance[c]} + double{s.epsilon}));
    coefficients[2 * s.C + c] = beta ? beta[c] : 0;
  }
};

struct Products {
  double sum, product;
};

struct ReduceGradients {
  static constexpr int kThreads = kColumns * kRows;
  int64_t M, C, parts;
  const float *dy, *x, *mean;
  double* sums;  // (parts, 2, C): dy, dy * (x - mean)
  PYCONV_DEVICE void operator()() const {
    const int64_t c = block_index() * kColumns + thread_index() % kColumns;
    const Part part(M, parts, block_index_y());
    float sum = 0, product = 0;
    if (c < C)
      for (int64_t row = part.begin + thread_index() / kColumns; row < part.end; row += kRows) {
        const float d = dy[row * C + c];
        sum += d;
        product += d * (x[row * C + c] - mean[c]);
      }
    const Products joined = join_rows(Products{sum, product}, [](Products& a, const Products& b) {
      a.sum += b.sum;
      a.product += b.product;
    });
    if (thread_index() >= kColumns || c >= C) return;
    sums[(block_index_y() * 2) * C + c] = joined.sum;
    sums[(block_index_y() * 2 + 1) * C + c] = joined.product;
  }
};

struct MergeGradients {
  static constexpr int kThreads = kMergeThreads;
  int64_t M, C, parts;
  const double* sums;
  const float *gamma, *rstd;
  float *dgamma, *dbeta, *coefficients;  // scale, slope, shift
  PYCONV_DEVICE void operator()() const {
    const int64_t c = merged_channel();
    if (c >= C) return;
    double sum = 0, product = 0;
    for (int64_t p = lane_index(); p < parts; p += kWarp)
      sum += sums[2 * p * C + c], product += sums[(2 * p + 1) * C + c];
    sum = warp_sum(sum);
    product = warp_sum(product);
    if (lane_index()) return;
    const double r = rstd[c], scale = (gamma ? gamma[c] : 1) * r, sum_xhat = product * r;
    const double count = static_cast<double>(M > 1 ? M : 1);
    if (dbeta) dbeta[c] = static_cast<float>(sum);
    if (dgamma) dgamma[c] = static_cast<float>(sum_xhat);
    coefficients[c] = static_cast<float>(scale);
    coefficients[C + c] = static_cast<float>(-scale * r * sum_xhat / count);
    coefficients[2 * C + c] = static_cast<float>(-scale * sum / count);
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

Grid reducing_grid(const BatchNormShape& s) {
  return {ceil_div(s.C, kColumns), parts_of(s)};
}

}  // namespace

size_t batch_norm_workspace(const Context&, const BatchNormShape& s) {
  return static_cast<size_t>(parts_of(s) * 2 * s.C) * sizeof(double) +
         static_cast<size_t>(3 * s.C) * sizeof(float);
}

Status batch_norm(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                  const float* beta, float* running_mean, float* running_variance, float* y, float* mean,
                  float* rstd) {
  const Workspace w(s, context.workspace);
  const int64_t parts = parts_of(s);
  Status status = launch(context, ReduceMoments{s.M, s.C, parts, x, w.sums}, reducing_grid(s),
                         ReduceMoments::kThreads * sizeof(Moments));
  if (status.message) return status;
  const BatchNormStatistics statistics{s.epsilon,
                                       s.momentum,
                                       gamma,
                                       beta,
                                       running_mean,
                                       running_variance,
                                       mean,
                                       rstd,
                                       w.coefficients + s.C,
                                       w.coefficients + 2 * s.C};
  status = launch(context, MergeMoments{statistics, s.M, s.C, parts, w.sums, w.coefficients}, merging_grid(s));
  if (status.message) return status;
  return for_each(context, s.M * s.C, Normalize{s.C, x, w.coefficients, y});
}

Status batch_norm_inference(const Context& context, const BatchNormShape& s, const float* x, const float* gamma,
                            const float* beta, const float* mean, const float* variance, float* y) {
  const Workspace w(s, context.workspace);
  const Status status =
      for_each(context, s.C, InferenceCoefficients{s, gamma, beta, mean, variance, w.coefficients});
  if (status.message) return status;
  return for_each(context, s.M * s.C, Normalize{s.C, x, w.coefficients, y});
}

Status batch_norm_backward(const Context& context, const BatchNormShape& s, const float* dy, const float* x,
                           const float* gamma, const float* mean, const float* rstd, float* dx, float* dgamma,
                           float* dbeta) {
  const Workspace w(s, context.workspace);
  const int64_t parts = parts_of(s);
  Status status = launch(context, ReduceGradients{s.M, s.C, parts, dy, x, mean, w.sums}, reducing_grid(s),
                         ReduceGradients::kThreads * sizeof(Products));
  if (status.message) return status;
  status = launch(context, MergeGradients{s.M, s.C, parts, w.sums, gamma, rstd, dgamma, dbeta, w.coefficients},
                  merging_grid(s));
  if (status.message) return status;
  return for_each(context, s.M * s.C, ApplyGradients{s.C, dy, x, mean, w.coefficients, dx});
}

}  // namespace pyconv::cuda
