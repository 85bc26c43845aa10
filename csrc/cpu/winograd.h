// Winograd's minimal filtering F(m x m, 3 x 3) (Lavin and Gray, https://arxiv.org/abs/1509.09308): the 1D
// transforms of a vector of channels. Applied to columns, then rows, they make the 2D ones.
//
//   y = A^T [ (G w) * (B^T x) ]     n = m + 2 products for m outputs of a 3-tap filter
//
// F(4, 3) interpolates at 0, +-5/8, +-3/2 and infinity instead of the textbook's 0, +-1, +-2, infinity: errors
// against float64 are about half as large, at the same cost.
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

  PYCONV_INLINE_MEMBER static void input(Vec (&u)[kIn]) {  // B^T u
    const Vec ea = u[4] - B2 * u[2], oa = A1 * u[3] - kAB2 * u[1];
    const Vec eb = u[4] - A2 * u[2], ob = B1 * u[3] - kBA2 * u[1];
    const Vec first = u[4] - kSum * u[2] + kProduct * u[0];
    u[5] = u[5] - kSum * u[3] + kProduct * u[1];
    u[0] = first;
    u[1] = ea + oa;
    u[2] = ea - oa;
    u[3] = eb + ob;
    u[4] = eb - ob;
  }
  PYCONV_INLINE_MEMBER static void output(const Vec (&m)[kIn], Vec (&y)[kOut]) {  // A^T m
    const Vec sa = m[1] + m[2], da = m[1] - m[2], sb = m[3] + m[4], db = m[3] - m[4];
    y[0] = m[0] + sa + sb;
    y[1] = A1 * da + B1 * db;
    y[2] = A2 * sa + B2 * sb;
    y[3] = A3 * da + B3 * db + m[5];
  }
  PYCONV_INLINE_MEMBER static void gradient(const Vec (&y)[kOut], Vec (&m)[kIn]) {  // A y
    const Vec ea = y[0] + A2 * y[2], oa = A1 * y[1] + A3 * y[3];
    const Vec eb = y[0] + B2 * y[2], ob = B1 * y[1] + B3 * y[3];
    m[0] = y[0];
    m[1] = ea + oa;
    m[2] = ea - oa;
    m[3] = eb + ob;
    m[4] = eb - ob;
    m[5] = y[3];
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

  PYCONV_INLINE_MEMBER static void input(Vec (&u)[kIn]) {
    const Vec u1 = u[1], u2 = u[2];
    u[0] = u[0] - u2;
    u[3] = u[3] - u1;
    u[1] = u1 + u2;
    u[2] = u2 - u1;
  }
  PYCONV_INLINE_MEMBER static void output(const Vec (&m)[kIn], Vec (&y)[kOut]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  PYCONV_INLINE_MEMBER static void gradient(const Vec (&y)[kOut], Vec (&m)[kIn]) {
    m[0] = y[0];
    m[1] = y[0] + y[1];
    m[2] = y[0] - y[1];
    m[3] = y[1];
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

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
