// THE CONTRACT between the bindings and the backends. A backend is one filled-in table of these pointers.
//
// Layout: NHWC activations, HWIO kernels, row-major, float32 unless said. Pointers are aligned to 4 bytes.
// Outputs are overwritten unless marked `accumulates`; outputs never overlap inputs unless marked `in place`.
// Sizes may be 0: nothing is read, outputs that have elements are written (a sum over nothing is 0).
// Sizes are bounded so that no product of them leaves int64 (sizes.h).
// NaN passes through every op (ReLU and max pooling included); the first of equal maxima wins, row by row.
// Bitwise reproducible on one backend at any thread count: chunks and partial sums depend on shapes alone, and
// partial sums are added in order. The caller has checked all arguments; a Status reports what only
// the backend can see. The host's entries let through what parallel_for and thread_scratch throw (parallel.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "shapes.h"

namespace pyconv {

constexpr int kMaxPartials = 16;

struct Status {
  const char* message;  // null: success; else text that stays valid until the thread's next call
};
constexpr Status kOk{nullptr};

enum class Precision : int32_t { kFloat32, kTf32, kBfloat16 };
enum class Conv2dAlgorithm : int32_t { kAuto, kDirect, kGemm, kWinogradF2x2, kWinogradF4x4 };
enum class Conv2dPass : int32_t { kForward, kBackwardInput, kBackwardWeight };

struct Context {
  void* stream;  // CUDA only
  Precision precision;
  Conv2dAlgorithm algorithm;
  // Whether the calls to come are given prepared weights, which makes other algorithms pay: for conv2d_fusions and
  // conv2d_workspace. The calls themselves see it.
  int32_t weights_are_prepared;
  void* workspace;  // 64-byte aligned, at least what the op's `_workspace` entry asks for
  size_t workspace_bytes;
};

// Counter-based randomness: rng points to {seed low, seed high, epoch, step}, in the backend's memory, read
// when the op runs, so that a recorded program draws anew each step. See philox.h.
using RngState = uint32_t[4];

struct Kernels {
  // ---- convolution. bias and dbias may be null.
  Status (*conv2d)(const Context&, const Conv2dShape&, const float* x, const float* weight, const float* bias,
                   float* y);
  Status (*conv2d_backward_input)(const Context&, const Conv2dShape&, const float* dy, const float* weight,
                                  float* dx);
  Status (*conv2d_backward_weight)(const Context&, const Conv2dShape&, const float* dy, const float* x,
                                   float* dweight, float* dbias);
  size_t (*conv2d_workspace)(const Context&, const Conv2dShape&, Conv2dPass);

  // ---- pooling. Padding never wins a maximum. argmax: offset kh * KW + kw in the window, of the type
  // that argmax_is_uint8 says; null to skip it. A window that sees only padding gives -inf, argmax 0.
  Status (*max_pool2d)(const Context&, const Pool2dShape&, const float* x, float* y, void* argmax);
  Status (*max_pool2d_backward)(const Context&, const Pool2dShape&, const float* dy, const void* argmax,
                                float* dx);
  Status (*avg_pool2d)(const Context&, const Pool2dShape&, const float* x, float* y);
  Status (*avg_pool2d_backward)(const Context&, const Pool2dShape&, const float* dy, float* dx);

  // ---- elementwise; all in place allowed (y == x, dx == dy, y == a or b).
  Status (*relu)(const Context&, int64_t size, const float* x, float* y);
  // dy, or 0 where y <= 0. A NaN in y is not: dy passes there, as in every gradient below that a ReLU masks.
  Status (*relu_backward)(const Context&, int64_t size, const float* dy, const float* y, float* dx);
  // x * Phi(x), Phi being the normal distribution's function; approximate: Phi's approximation by a tanh
  // (Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016). Of -inf it is 0.
  Status (*gelu)(const Context&, int64_t size, int32_t approximate, const float* x, float* y);
  Status (*gelu_backward)(const Context&, int64_t size, int32_t approximate, const float* dy, const float* x,
                          float* dx);
  Status (*add)(const Context&, int64_t size, const float* a, const float* b, float* y);
  Status (*multiply)(const Context&, int64_t size, const float* a, const float* b, float* y);
  Status (*divide)(const Context&, int64_t size, const float* a, const float* b, float* y);
  // scale * x + offset.
  Status (*rescale)(const Context&, int64_t size, float scale, float offset, const float* x, float* y);
  Status (*exp)(const Context&, int64_t size, const float* x, float* y);
  Status (*log)(const Context&, int64_t size, const float* x, float* y);
  // Keeps an element with probability 1 - rate, scaled by 1 / (1 - rate). Its own gradient: call it on dy
  // with the same rng. Element i takes word i % 4 of block i / 4.
  Status (*dropout)(const Context&, const DropoutShape&, const uint32_t* rng, const float* x, float* y);

  // ---- rows of two arrays side by side.
  Status (*concatenate)(const Context&, const ConcatenateShape&, const float* a, const float* b, float* y);
  Status (*concatenate_backward)(const Context&, const ConcatenateShape&, const float* dy, float* da, float* db);

  // ---- batch normalisation over M rows. gamma (null: 1), beta (null: 0). variance is biased, as Keras'.
  // Training: writes mean (C) and rstd (C) = 1 / sqrt(variance + epsilon); running_* (null to skip) are
  // updated in place, but left as they are where M == 0 or a channel's statistics are not finite.
  Status (*batch_norm)(const Context&, const BatchNormShape&, const float* x, const float* gamma,
                       const float* beta, float* running_mean, float* running_variance, float* y, float* mean,
                       float* rstd);
  Status (*batch_norm_inference)(const Context&, const BatchNormShape&, const float* x, const float* gamma,
                                 const float* beta, const float* mean, const float* variance, float* y);
  // mean and rstd as saved by batch_norm; dx may be dy (in place). dgamma, dbeta may be null.
  Status (*batch_norm_backward)(const Context&, const BatchNormShape&, const float* dy, const float* x,
                                const float* gamma, const float* mean, const float* rstd, float* dx, float* dgamma,
                                float* dbeta);
  size_t (*batch_norm_workspace)(const Context&, const BatchNormShape&);

  // ---- dense. bias and dbias may be null.
  Status (*linear)(const Context&, const LinearShape&, const float* x, const float* weight, const float* bias,
                   float* y);
  Status (*linear_backward_input)(const Context&, const LinearShape&, const float* dy, const float* weight,
                                  float* dx);
  Status (*linear_backward_weight)(const Context&, const LinearShape&, const float* dy, const float* x,
                                   float* dweight, float* dbias);
  size_t (*linear_workspace)(const Context&, const LinearShape&, Conv2dPass);

  // ---- classification. Exactly one of labels (N, int32 in [0, K)) and targets (N, K) is not null.
  // label_smoothing is the cross-entropies' alone. dloss (N; null: 1 / N, the mean's) is the gradient of `loss`.
  Status (*softmax)(const Context&, const ClassShape&, const float* x, float* y);
  Status (*softmax_backward)(const Context&, const ClassShape&, const float* dy, const float* y, float* dx);
  // loss (N): a row's cross-entropy in nats. dlogits may be null, or logits (in place).
  Status (*softmax_cross_entropy)(const Context&, const ClassShape&, const float* logits, const int32_t* labels,
                                  const float* targets, const float* dloss, float* loss, float* dlogits);
  // The same of x (N, K) that holds probabilities, taken as x / sum(x); one below FLT_MIN counts as that.
  Status (*cross_entropy)(const Context&, const ClassShape&, const float* x, const int32_t* labels,
                          const float* targets, float* loss);
  Status (*cross_entropy_backward)(const Context&, const ClassShape&, const float* dloss, const float* x,
                                   const int32_t* labels, const float* targets, float* dx);
  // correct (N): 1 where the first largest score is the label (or the targets' first largest), else 0.
  // A row with a NaN is 0.
  Status (*accuracy)(const Context&, const ClassShape&, const float* scores, const int32_t* labels,
                     const float* targets, float* correct);

  // ---- reductions to one double. accumulates: *total += scale * sum.
  Status (*sum)(const Context&, int64_t size, float scale, const float* x, double* total);
  Status (*sum_of_squares)(const Context&, int64_t size, float scale, const float* x, double* total);

  // ---- optimizer steps, in place on weight and state. The gradient is dweight + 2 * l2 * weight. All is
  // left as it is while *guard is not finite (guard may be null): a NaN loss destroys nothing.
  // hyper: {alpha, beta_1, beta_2, epsilon}; weight -= alpha * m / (sqrt(v) + epsilon).
  Status (*adam)(const Context&, int64_t size, float l2, const float* hyper, const double* guard,
                 const float* dweight, float* weight, float* m, float* v);
  // hyper: {learning_rate, momentum}; velocity = momentum * velocity - learning_rate * g;
  // weight += nesterov ? momentum * velocity - learning_rate * g : velocity. velocity is null without momentum.
  Status (*sgd)(const Context&, int64_t size, float l2, int32_t nesterov, const float* hyper, const double* guard,
                const float* dweight, float* weight, float* velocity);

  // ---- batches. source is uint8 or float32 with M examples; index (N, null: 0, 1, 2, ...) picks them,
  // entries in [0, M). scale, shift (C; null: 1, 0): y = scale * value + shift.
  Status (*gather)(const Context&, const GatherShape&, DType source_type, const void* source, const int32_t* index,
                   const float* scale, const float* shift, float* y);
  // Bilinear warp: output pixel (h, w) reads source row m0 h + m1 w + m2, column m3 h + m4 w + m5 (pixels,
  // centres at integers). Outside: nearest edge pixel, fill_value, or reflection about the edge (d c b a |
  // a b c d | d c b a).
  Status (*affine)(const Context&, const AffineShape&, DType source_type, const void* source, const int32_t* index,
                   const float* matrix, const float* scale, const float* shift, float* y);
  // matrix (N, 6) for affine: rotation about the centre after the shift, then flips, as Keras'
  // ImageDataGenerator composes them. Example index[i] draws Philox block index[i] of (kPhiloxAugment, epoch,
  // step 0 whatever rng says): an image's warp does not depend on its place in the batch. Words 0-3: angle,
  // row shift, column shift, flips (bit 31 horizontal, bit 30 vertical).
  Status (*random_affine)(const Context&, const RandomAffineShape&, const uint32_t* rng, const int32_t* index,
                          float* matrix);
};

// ---- fused entries: one pass over memory where the plain entries above take several. A backend offers what pays
// there: a null entry, or a shape without the bit, leaves the planner with the plain calls. Results are those of
// the plain calls they replace, rounding apart.

// What is made of a value v of a channel: scale * v + shift, and a ReLU of that where relu is set. Padding is 0
// after it, not before. scale null: v itself. It is what a batch normalisation, its statistics known, does to an
// element.
struct ScaleShift {
  const float *scale, *shift;  // (C)
  int32_t relu;
};

// batch_norm's statistics over all pixels of a tensor, and the scale and shift that they make. mean null: none.
struct BatchNormStatistics {
  float epsilon, momentum;
  const float *gamma, *beta;               // null: 1, 0
  float *running_mean, *running_variance;  // updated in place; null to skip
  float *mean, *rstd, *scale, *shift;      // (C), written
};

// From a convolution's sums to y: bias, ReLU, then one of
//   statistics of y, for a batch normalisation that y's readers apply;
//   output, a normalisation known beforehand (prediction), applied before y is written.
// pooled (null: none; needs even OH and OW) takes the maxima of 2x2 windows of y after `output`, or, where the
// statistics' gamma is negative, the minima, and where it is 0 the first: what the maximum of the normalised
// values comes from. argmax as in max_pool2d. y may be null beside pooled.
struct Conv2dEpilogue {
  int32_t relu;
  ScaleShift output;
  BatchNormStatistics statistics;
  float* pooled;    // (N, OH / 2, OW / 2, C_out)
  uint8_t* argmax;  // the same, or null
};

// The gradient of a batch normalisation (and a ReLU after it), up to the pass over its elements: with d = dy where
// the ReLU let y pass, else 0, sums of d and d * (x - mean) give dgamma, dbeta and coefficients (3, C):
// dx = coefficients[0] * d + coefficients[1] * x + coefficients[2].
struct BatchNormReduction {
  int64_t M;                 // rows that were normalised; pooling left some of them out of dy
  const float* x;            // of dy's shape: what was normalised
  ScaleShift normalization;  // as the forward pass had it, for relu
  const float *gamma, *mean, *rstd;
  float *dgamma, *dbeta, *coefficients;  // dgamma, dbeta may be null
};

// dy of a convolution, made from what follows it: d, spread over 2x2 windows where argmax is given; 0 where the
// ReLU behind the normalisation was closed; then the batch normalisation's dx (coefficients null: d); 0 where the
// ReLU before it was closed.
struct Conv2dGradient {
  const float* d;         // (N, OH, OW, C_out), or (N, OH / 2, OW / 2, C_out)
  const uint8_t* argmax;  // null: no pooling
  const float* y;         // what the convolution wrote
  int32_t relu;           // between convolution and normalisation
  ScaleShift normalization;
  const float* coefficients;
  float* dy;  // written for backward_input; null to skip (but see kNeedsGradient)
};

// What conv2d_fusions answers.
enum Conv2dFusion : uint32_t {
  kFuseEpilogue = 1,    // conv2d_fused: ReLU, statistics, output
  kFusePool = 2,        // conv2d_fused: pooled
  kFuseInput = 4,       // conv2d_fused and conv2d_backward_weight_fused: `input`
  kFuseReduction = 8,   // conv2d_backward_input_fused
  kFuseGradient = 16,   // conv2d_backward_weight_fused
  kNeedsGradient = 32,  // which then cannot do without dy
};

struct FusedKernels {
  uint32_t (*conv2d_fusions)(const Context&, const Conv2dShape&);
  // Weights as the algorithm wants them, for calls to come with the same context and shape: `prepared` there.
  Status (*conv2d_prepare)(const Context&, const Conv2dShape&, const float* weight, float* prepared);
  size_t (*conv2d_prepared_bytes)(const Context&, const Conv2dShape&);
  // The workspace of these is conv2d_workspace's. prepared null: made from weight, in the workspace.
  Status (*conv2d_fused)(const Context&, const Conv2dShape&, const float* x, const ScaleShift& input,
                         const float* weight, const float* prepared, const float* bias, const Conv2dEpilogue&,
                         float* y);
  // dx is the dy of the reduction.
  Status (*conv2d_backward_input_fused)(const Context&, const Conv2dShape&, const float* dy, const float* weight,
                                        const BatchNormReduction&, float* dx);
  Status (*conv2d_backward_weight_fused)(const Context&, const Conv2dShape&, const Conv2dGradient&, const float* x,
                                         const ScaleShift& input, float* dweight, float* dbias);

  // y (M, C): the ScaleShift, applied to x; in place allowed.
  Status (*normalize)(const Context&, const BatchNormShape&, const float* x, const ScaleShift&, float* y);
  // The ScaleShift of a batch normalisation in prediction: scale and shift (C) from its four parameters.
  Status (*batch_norm_fold)(const Context&, const BatchNormShape&, const float* gamma, const float* beta,
                            const float* mean, const float* variance, float* scale, float* shift);
  // As Conv2dEpilogue::pooled, of an x that lies in memory: 2x2 windows, stride 2, no padding.
  Status (*max_pool2d_signed)(const Context&, const Pool2dShape&, const float* x, const float* gamma, float* y,
                              void* argmax);
  Status (*batch_norm_reduce)(const Context&, const BatchNormShape&, const float* dy, const BatchNormReduction&);
};

}  // namespace pyconv
