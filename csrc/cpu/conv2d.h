// What the convolution algorithms share: the geometry of a pass, and packed weights.
#pragma once

#include "gemm.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

// A kernel position: point (i, j) of a phase reads source pixel (i * step_h + dh, j * step_w + dw).
struct Tap {
  int64_t dh, dw;
  int64_t kernel;  // kh * KW + kw
};

// Target pixels that all read the same taps: forward, all of y's; in the input gradient, of dx, the pixels that
// lie a stride apart from each other. They form a grid of points.
struct Phase {
  int64_t N, H, W;         // points
  int64_t step_h, step_w;  // source pixels per point
  int64_t source_H, source_W;
  int64_t target_first, target_n, target_h, target_w;  // pixels: where a point is stored
  const Tap* taps;
  int64_t tap_count;

  int64_t points() const { return N * H * W; }
};

// What a band of column blocks may take of L2, 256 KB: packed weights, or sums.
constexpr int64_t kBandFloats = 1 << 16;

// Channels of one group on the source and the target side of a pass.
struct GroupChannels {
  int64_t groups, source, target;  // per group
  int64_t source_all() const { return groups * source; }
  int64_t target_all() const { return groups * target; }
};

// Writes the taps of the pass, grouped by phase, and calls `visit(phase)` for each phase.
template <class Visit>
PYCONV_INLINE void forward_phase(const Conv2dShape& s, Tap* taps, const Visit& visit) {
  for (int64_t kh = 0; kh < s.KH; ++kh)
    for (int64_t kw = 0; kw < s.KW; ++kw)
      taps[kh * s.KW + kw] = {kh * s.dilation_h - s.pad_top, kw * s.dilation_w - s.pad_left, kh * s.KW + kw};
  visit(Phase{s.N, s.OH, s.OW, s.stride_h, s.stride_w, s.H, s.W, 0, s.OH * s.OW, s.OW, 1, taps, s.KH * s.KW});
}

template <class Visit>
PYCONV_INLINE void backward_input_phases(const Conv2dShape& s, Tap* taps, const Visit& visit) {
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
      visit(Phase{s.N, ceil_div(s.H - h0, s.stride_h), ceil_div(s.W - w0, s.stride_w), 1, 1, s.OH, s.OW,
                  h0 * s.W + w0, s.H * s.W, s.stride_h * s.W, s.stride_w, taps, count});
      taps += count;
    }
  }
}

// The arguments of a pass, plain (all else at its default) or fused.
struct ForwardPass {
  const float* x;
  const float* weight;
  const float* bias;
  float* y;
  ScaleShift input{};
  const float* prepared = nullptr;
  Conv2dEpilogue epilogue{};
};
struct BackwardInputPass {
  const float* dy;
  const float* weight;
  float* dx;
  BatchNormReduction reduction{};  // mean null: none
};
struct BackwardWeightPass {
  Conv2dGradient gradient;
  const float* x;
  float* dweight;
  float* dbias;
  ScaleShift input{};
};

// Each algorithm's passes. Workspace sizes are in bytes.
#define PYCONV_ALGORITHM                                                               \
  Status forward(const Context&, const Conv2dShape&, const ForwardPass&);              \
  Status backward_input(const Context&, const Conv2dShape&, const BackwardInputPass&); \
  Status backward_weight(const Context&, const Conv2dShape&, const BackwardWeightPass&);
namespace direct {
PYCONV_ALGORITHM
}
namespace im2col {
PYCONV_ALGORITHM
}
namespace few_channels {  // forward alone; workspace and prepared weights as direct's
bool fits(const Conv2dShape&);
Status forward(const Context&, const Conv2dShape&, const ForwardPass&);
}  // namespace few_channels
namespace depthwise {
PYCONV_ALGORITHM
size_t workspace(const Conv2dShape&, Conv2dPass);
}  // namespace depthwise
#undef PYCONV_ALGORITHM

// `out` is the tile's size, 4 or 2: F(4x4, 3x3) or F(2x2, 3x3).
namespace winograd {
Status forward(const Context&, const Conv2dShape&, int out, const ForwardPass&);
Status backward_input(const Context&, const Conv2dShape&, int out, const BackwardInputPass&);
Status backward_weight(const Context&, const Conv2dShape&, int out, const BackwardWeightPass&);
size_t workspace(const Conv2dShape&, int out, Conv2dPass);
void prepare(const Conv2dShape&, int out, const float* weight, float* prepared);
size_t prepared_bytes(const Conv2dShape&, int out);
}  // namespace winograd

// direct and im2col pack weights and lay their workspace out alike.
size_t packed_workspace(const Conv2dShape&, Conv2dPass);
void prepare_packed(const Context&, const Conv2dShape&, const float* weight, float* prepared);
size_t packed_bytes(const Conv2dShape&);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
