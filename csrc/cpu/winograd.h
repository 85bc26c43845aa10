// Winograd's minimal filtering F(m x m, 3 x 3) (Lavin and Gray, https://arxiv.org/abs/1509.09308): the transforms
// of a vector of channels.
//
//   Y = A^T [ (G w G^T) * (B^T X B) ] A     n = m + 2, n^2 products for m^2 outputs of a 3x3 kernel
//
// F(4x4) interpolates at 0, +-5/8, +-3/2 and infinity instead of the textbook's 0, +-1, +-2, infinity: errors
// against float64 are about half as large, at the same cost. The 2D transforms of data take their input as a
// function of (row, column) and hand their output to one, a few rows at a time, so that registers suffice.
#pragma once

#include "vec.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

struct WinogradF4 {
  static constexpr int kOut = 4, kIn = 6;
  static constexpr double a = 0.625, b = 1.5;
  static constexpr double aa = a * a, bb = b * b;
  static constexpr float A1 = a, A2 = aa, A3 = a * aa, B1 = b, B2 = bb, B3 = b * bb;
  static constexpr float kSum = aa + bb, kProduct = aa * bb, kAB2 = a * bb, kBA2 = b * aa;
  // The rows of G; +-a and +-b differ in the sign of the middle column.
  static constexpr float kG0 = 1 / (aa * bb), kGa = 1 / (2 * aa * (aa - bb)), kGb = 1 / (2 * bb * (bb - aa));

  template <class Out>
  PYCONV_INLINE_MEMBER static void input_row(const Vec (&u)[kIn], int i, const Out& out) {  // B^T u
    const Vec ea = u[4] - B2 * u[2], oa = opaque(A1 * u[3] - kAB2 * u[1]);
    const Vec eb = u[4] - A2 * u[2], ob = opaque(B1 * u[3] - kBA2 * u[1]);
    out(i, 0, (u[4] - kSum * u[2]) + kProduct * u[0]);
    out(i, 1, ea + oa);
    out(i, 2, ea - oa);
    out(i, 3, eb + ob);
    out(i, 4, eb - ob);
    out(i, 5, (u[5] - kSum * u[3]) + kProduct * u[1]);
  }
  template <class In, class Out>
  PYCONV_INLINE_MEMBER static void input(const In& x, const Out& out) {  // B^T x B
    Vec u[kIn], v[kIn];
    PYCONV_UNROLL
    for (int j = 0; j < kIn; ++j) u[j] = (x(4, j) - kSum * x(2, j)) + kProduct * x(0, j);
    input_row(u, 0, out);
    PYCONV_UNROLL
    for (int j = 0; j < kIn; ++j) {
      const Vec even = x(4, j) - B2 * x(2, j), odd = opaque(A1 * x(3, j) - kAB2 * x(1, j));
      u[j] = even + odd, v[j] = even - odd;
    }
    input_row(u, 1, out);
    input_row(v, 2, out);
    PYCONV_UNROLL
    for (int j = 0; j < kIn; ++j) {
      const Vec even = x(4, j) - A2 * x(2, j), odd = opaque(B1 * x(3, j) - kBA2 * x(1, j));
      u[j] = even + odd, v[j] = even - odd;
    }
    input_row(u, 3, out);
    input_row(v, 4, out);
    PYCONV_UNROLL
    for (int j = 0; j < kIn; ++j) u[j] = (x(5, j) - kSum * x(3, j)) + kProduct * x(1, j);
    input_row(u, 5, out);
  }

  PYCONV_INLINE_MEMBER static void output_row(const Vec (&m)[kIn], Vec (&y)[kOut]) {  // A^T m
    const Vec sa = m[1] + m[2], da = m[1] - m[2], sb = m[3] + m[4], db = m[3] - m[4];
    y[0] = m[0] + sa + sb;
    y[1] = A1 * da + B1 * db;
    y[2] = A2 * sa + B2 * sb;
    y[3] = A3 * da + (B3 * db + m[5]);
  }

  template <class Out>
  PYCONV_INLINE_MEMBER static void gradient_row(const Vec (&y)[kOut], int i, const Out& out) {  // A y
    const Vec ea = y[0] + A2 * y[2], oa = opaque(A1 * y[1] + A3 * y[3]);
    const Vec eb = y[0] + B2 * y[2], ob = opaque(B1 * y[1] + B3 * y[3]);
    out(i, 0, y[0]);
    out(i, 1, ea + oa);
    out(i, 2, ea - oa);
    out(i, 3, eb + ob);
    out(i, 4, eb - ob);
    out(i, 5, y[3]);
  }
  template <class In, class Out>
  PYCONV_INLINE_MEMBER static void gradient(const In& y, const Out& out) {  // A y A^T
    Vec u[kOut], v[kOut];
    PYCONV_UNROLL
    for (int j = 0; j < kOut; ++j) u[j] = y(0, j);
    gradient_row(u, 0, out);
    PYCONV_UNROLL
    for (int j = 0; j < kOut; ++j) {
      const Vec even = y(0, j) + A2 * y(2, j), odd = opaque(A1 * y(1, j) + A3 * y(3, j));
      u[j] = even + odd, v[j] = even - odd;
    }
    gradient_row(u, 1, out);
    gradient_row(v, 2, out);
    PYCONV_UNROLL
    for (int j = 0; j < kOut; ++j) {
      const Vec even = y(0, j) + B2 * y(2, j), odd = opaque(B1 * y(1, j) + B3 * y(3, j));
      u[j] = even + odd, v[j] = even - odd;
    }
    gradient_row(u, 3, out);
    gradient_row(v, 4, out);
    PYCONV_UNROLL
    for (int j = 0; j < kOut; ++j) u[j] = y(3, j);
    gradient_row(u, 5, out);
  }

  PYCONV_INLINE_MEMBER static void weight(const Vec (&w)[3], Vec (&g)[kIn]) {  // G w
    const float a1 = A1, a2 = A2, b1 = B1, b2 = B2;
    const Vec ea = kGa * (w[0] + a2 * w[2]), oa = kGa * a1 * w[1];
    const Vec eb = kGb * (w[0] + b2 * w[2]), ob = kGb * b1 * w[1];
    g[0] = kG0 * w[0];
    g[1] = ea + oa;
    g[2] = ea - oa;
    g[3] = eb + ob;
    g[4] = eb - ob;
    g[5] = w[2];
  }
  PYCONV_INLINE_MEMBER static void weight_gradient(const Vec (&g)[kIn], Vec (&w)[3]) {  // G^T g
    const Vec sa = kGa * (g[1] + g[2]), da = kGa * (g[1] - g[2]);
    const Vec sb = kGb * (g[3] + g[4]), db = kGb * (g[3] - g[4]);
    w[0] = kG0 * g[0] + sa + sb;
    w[1] = A1 * da + B1 * db;
    w[2] = A2 * sa + B2 * sb + g[5];
  }
};

struct WinogradF2 {
  static constexpr int kOut = 2, kIn = 4;

  template <class In, class Out>
  PYCONV_INLINE_MEMBER static void input(const In& x, const Out& out) {
    Vec d[kIn][kIn];
    PYCONV_UNROLL
    for (int j = 0; j < kIn; ++j) {
      const Vec x0 = x(0, j), x1 = x(1, j), x2 = x(2, j), x3 = x(3, j);
      d[0][j] = x0 - x2, d[1][j] = x1 + x2, d[2][j] = x2 - x1, d[3][j] = x3 - x1;
    }
    PYCONV_UNROLL
    for (int i = 0; i < kIn; ++i) {
      out(i, 0, d[i][0] - d[i][2]);
      out(i, 1, d[i][1] + d[i][2]);
      out(i, 2, d[i][2] - d[i][1]);
      out(i, 3, d[i][3] - d[i][1]);
    }
  }
  PYCONV_INLINE_MEMBER static void output_row(const Vec (&m)[kIn], Vec (&y)[kOut]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  template <class In, class Out>
  PYCONV_INLINE_MEMBER static void gradient(const In& y, const Out& out) {
    const Vec y00 = y(0, 0), y01 = y(0, 1), y10 = y(1, 0), y11 = y(1, 1);
    const Vec rows[kIn][kOut] = {{y00, y01}, {y00 + y10, y01 + y11}, {y00 - y10, y01 - y11}, {y10, y11}};
    PYCONV_UNROLL
    for (int i = 0; i < kIn; ++i) {
      out(i, 0, rows[i][0]);
      out(i, 1, rows[i][0] + rows[i][1]);
      out(i, 2, rows[i][0] - rows[i][1]);
      out(i, 3, rows[i][1]);
    }
  }
  PYCONV_INLINE_MEMBER static void weight(const Vec (&w)[3], Vec (&g)[kIn]) {
    const Vec sum = 0.5f * (w[0] + w[2]), half = 0.5f * w[1];
    g[0] = w[0];
    g[1] = sum + half;
    g[2] = sum - half;
    g[3] = w[2];
  }
  PYCONV_INLINE_MEMBER static void weight_gradient(const Vec (&g)[kIn], Vec (&w)[3]) {
    const Vec sum = 0.5f * (g[1] + g[2]);
    w[0] = g[0] + sum;
    w[1] = 0.5f * (g[1] - g[2]);
    w[2] = sum + g[3];
  }
};

// A^T m A: m as a function of (row, column), all outputs at once.
template <class F, class In>
PYCONV_INLINE void winograd_output(const In& m, Vec (&y)[F::kOut][F::kOut]) {
  Vec half[F::kOut][F::kIn];
  PYCONV_UNROLL
  for (int j = 0; j < F::kIn; ++j) {
    Vec column[F::kIn], reduced[F::kOut];
    PYCONV_UNROLL
    for (int i = 0; i < F::kIn; ++i) column[i] = m(i, j);
    F::output_row(column, reduced);
    PYCONV_UNROLL
    for (int i = 0; i < F::kOut; ++i) half[i][j] = reduced[i];
  }
  PYCONV_UNROLL
  for (int i = 0; i < F::kOut; ++i) F::output_row(half[i], y[i]);
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
