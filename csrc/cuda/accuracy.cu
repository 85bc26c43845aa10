// Whether each row's first largest score is its label: a warp takes a row.
#include "softmax.cuh"

namespace pyconv::cuda {

namespace {

struct Accuracy {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float* scores;
  const int32_t* labels;
  const float* targets;
  float* correct;

  // Where the first largest value is; -1 for an empty row or one that holds NaN.
  PYCONV_DEVICE int64_t first_largest(const float* x) const {
    float largest = 0;
    int64_t best = s.K;  // none yet
    int32_t nan = 0;
    for (int64_t k = lane_index(); k < s.K; k += kWarp) {
      nan |= x[k] != x[k];
      if (best == s.K || x[k] > largest) best = k, largest = x[k];
    }
    for (int mask = kWarp / 2; mask; mask /= 2) {
      const float other = shuffle_xor(largest, mask);
      const int64_t place = shuffle_xor(best, mask);
      nan |= shuffle_xor(nan, mask);
      if (place < s.K && (best == s.K || other > largest || (other == largest && place < best)))
        best = place, largest = other;
    }
    return nan || best == s.K ? -1 : best;
  }

  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    const int64_t predicted = first_largest(scores + n * s.K);
    const int64_t actual = labels ? labels[n] : first_largest(targets + n * s.K);
    if (lane_index() == 0) correct[n] = predicted >= 0 && predicted == actual ? 1 : 0;
  }
};

}  // namespace

Status accuracy(const Context& context, const ClassShape& s, const float* scores, const int32_t* labels,
                const float* targets, float* correct) {
  return launch(context, Accuracy{s, scores, labels, targets, correct}, row_grid(s.N));
}

}  // namespace pyconv::cuda
