// Gaussian error linear unit (Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016) and its gradient,
// elementwise: one chunk is a run of whole vectors.
#include "softmax.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

// y = x * weight; the gradient is weight + x * slope.
struct Gate {
  Vec x;  // for the product with slope, and where it is negative with weight: finite, for both are 0 far out
  Vec weight, slope;
};

constexpr float kFarOut = 15;  // where Phi(-x), and its slope, round to 0

PYCONV_INLINE Vec within(Vec x, float bound) {
  x = x < -bound ? broadcast(-bound) : x;
  return x > bound ? broadcast(bound) : x;
}

// Phi(-z) = exp(-z^2 / 2) R(z) for z >= 0, R a polynomial of t = 1 / (1 + 0.35 z), which leaves Phi's tail its
// digits. z^2 is taken of the first 12 bits of z exactly, the rest in a factor of its own.
PYCONV_INLINE Gate exact_gate(Vec given) {
  const Vec x = within(given, kFarOut), z = x < Vec{} ? -x : x;
  const Vec head = (Vec)((VecInt)z & ~0xFFF);
  const Vec e = exp(-0.5f * (head * head)) * exp(-0.5f * ((z - head) * (z + head)));
  const Vec t = 1.0f / (1.0f + 0.35f * z);
  Vec r = broadcast(-0.02949463576078415f);
  r = r * t + 0.14561739563941956f;
  r = r * t - 0.25899502635002136f;
  r = r * t + 0.16276812553405762f;
  r = r * t - 0.0254655834287405f;
  r = r * t + 0.10644964128732681f;
  r = r * t + 0.11960979551076889f;
  r = r * t + 0.1398903727531433f;
  r = r * t + 0.13961990177631378f;
  const Vec tail = e * (r * t);
  return {x, x < Vec{} ? tail : 1.0f - tail, e * 0.39894228040143268f};
}

// 1 / (1 + exp(-s)), s = sqrt(8 / pi) (x + 0.044715 x^3), which is (1 + tanh(s / 2)) / 2.
PYCONV_INLINE Gate tanh_gate(Vec given) {
  constexpr float kScale = 1.5957691216057308f, kCubic = 0.044715f * kScale;
  const Vec x = within(given, kFarOut), square = x * x, s = x * (kScale + kCubic * square);
  const Vec e = exp(s < Vec{} ? s : -s), d = 1.0f / (1.0f + e);
  return {x, x < Vec{} ? e * d : d, e * d * d * (kScale + 3 * kCubic * square)};
}

template <bool kApproximate>
PYCONV_INLINE Gate gate(Vec x) {
  return kApproximate ? tanh_gate(x) : exact_gate(x);
}

template <bool kApproximate>
PYCONV_INLINE Vec forward(Vec x) {
  const Gate g = gate<kApproximate>(x);
  return (x < Vec{} ? g.x : x) * g.weight;
}

template <bool kApproximate>
PYCONV_INLINE Vec backward(Vec dy, Vec x) {
  const Gate g = gate<kApproximate>(x);
  return dy * (g.weight + g.x * g.slope);
}

template <bool kApproximate>
void forward_all(int64_t size, const float* x, float* y) {
  const int64_t chunks = elementwise_chunks(size, 4096);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) store(y + i, forward<kApproximate>(load(x + i)));
    if (const int64_t n = r.end - i; n > 0) store_part(y + i, forward<kApproximate>(load_part(x + i, n)), n);
  });
}

template <bool kApproximate>
void backward_all(int64_t size, const float* dy, const float* x, float* dx) {
  const int64_t chunks = elementwise_chunks(size, 4096);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats)
      store(dx + i, backward<kApproximate>(load(dy + i), load(x + i)));
    if (const int64_t n = r.end - i; n > 0)
      store_part(dx + i, backward<kApproximate>(load_part(dy + i, n), load_part(x + i, n)), n);
  });
}

}  // namespace

Status gelu(const Context&, int64_t size, int32_t approximate, const float* x, float* y) {
  approximate ? forward_all<true>(size, x, y) : forward_all<false>(size, x, y);
  return kOk;
}

Status gelu_backward(const Context&, int64_t size, int32_t approximate, const float* dy, const float* x,
                     float* dx) {
  approximate ? backward_all<true>(size, dy, x, dx) : backward_all<false>(size, dy, x, dx);
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
