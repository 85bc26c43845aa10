// The forward pass and the input gradient are the same work: each pixel of a target sums what the kernel's taps
// read around it in a source. This says which pixels those are.
#pragma once

#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// A kernel position: point (i, j) of a phase reads source pixel (i * step_h + dh, j * step_w + dw).
struct Tap {
  int64_t dh, dw;
  int64_t kernel;  // kh * KW + kw
};

// Target pixels that all read the same taps: forward, all of y's; in the input gradient, the pixels of dx that lie
// a stride apart from each other. They form a grid of points.
struct Phase {
  int64_t N, H, W;         // points
  int64_t step_h, step_w;  // source pixels from a point to the next
  int64_t source_H, source_W;
  int64_t target_first, target_n, target_h, target_w;  // pixels: where a point is stored
  const Tap* taps;
  int64_t tap_count;

  int64_t points() const { return N * H * W; }
};

// Channels of one group on the source and the target side of a pass.
struct GroupChannels {
  int64_t groups, source, target;
  GroupChannels(const Conv2dShape& s, bool backward)
      : groups(s.groups),
        source((backward ? s.C_out : s.C_in) / s.groups),
        target((backward ? s.C_in : s.C_out) / s.groups) {}
  int64_t source_all() const { return groups * source; }
  int64_t target_all() const { return groups * target; }
};

// The only phase of the forward pass; `taps` has room for KH * KW.
PYCONV_INLINE Phase forward_phase(const Conv2dShape& s, Tap* taps) {
  for (int64_t kh = 0; kh < s.KH; ++kh)
    for (int64_t kw = 0; kw < s.KW; ++kw)
      taps[kh * s.KW + kw] = {kh * s.dilation_h - s.pad_top, kw * s.dilation_w - s.pad_left, kh * s.KW + kw};
  return {s.N, s.OH, s.OW, s.stride_h, s.stride_w, s.H, s.W, 0, s.OH * s.OW, s.OW, 1, taps, s.KH * s.KW};
}

PYCONV_INLINE int64_t backward_input_phase_count(const Conv2dShape& s) {
  return min(s.stride_h, s.H) * min(s.stride_w, s.W);
}

// Fills in the phases of the input gradient, row by row of the stride, and their taps, one phase's after
// another's.
PYCONV_INLINE void write_backward_input_phases(const Conv2dShape& s, Tap* taps, Phase* phases) {
  for (int64_t h0 = 0; h0 < min(s.stride_h, s.H); ++h0) {
    for (int64_t w0 = 0; w0 < min(s.stride_w, s.W); ++w0) {
      int64_t count = 0;
      for (int64_t kh = 0; kh < s.KH; ++kh) {
        const int64_t dh = h0 + s.pad_top - kh * s.dilation_h;
        if (dh % s.stride_h) continue;
        for (int64_t kw = 0; kw < s.KW; ++kw) {
          const int64_t dw = w0 + s.pad_left - kw * s.dilation_w;
          if (dw % s.stride_w == 0) taps[count++] = {dh / s.stride_h, dw / s.stride_w, kh * s.KW + kw};
        }
      }
      const int64_t H = ceil_div(s.H - h0, s.stride_h), W = ceil_div(s.W - w0, s.stride_w);
      *phases++ = {s.N,        H,    W,    1, 1, s.OH, s.OW, h0 * s.W + w0, s.H * s.W, s.stride_h * s.W,
                   s.stride_w, taps, count};
      taps += count;
    }
  }
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
