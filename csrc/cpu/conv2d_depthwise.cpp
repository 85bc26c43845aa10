// Depthwise convolution, one filter a channel (groups = C_in = C_out): vectors run over channels, weights
// are used as they lie. A chunk owns a run of destination pixels; the weight gradient sums at most 16 parts.
#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise {
namespace {

// target[point] = bias + sum over taps of source[point + tap] * weight[tap], channel by channel.
PYCONV_INLINE void run_grid(const Grid& grid, int64_t C, const float* source, const float* weight,
                            const float* bias, float* target) {
  const int64_t total = grid.points(), chunks = ceil_div(total, 64);
  parallel(chunks, [&](int64_t chunk) {
    const Range range = chunk_range(total, chunks, chunk);
    for (int64_t point = range.begin; point < range.end; ++point) {
      const int64_t n = point / (grid.H * grid.W), i = point / grid.W % grid.H, j = point % grid.W;
      const float* image = source + n * grid.source_H * grid.source_W * C;
      float* out = target + (grid.target_first + n * grid.target_n + i * grid.target_h + j * grid.target_w) * C;
      for (int64_t c = 0; c < C; c += kVecFloats) {
        const int64_t lanes = min(kVecFloats, C - c);
        const auto take = [=](const float* p) { return lanes == kVecFloats ? load(p) : load_part(p, lanes); };
        Vec sum = bias ? take(bias + c) : Vec{};
        for (int64_t t = 0; t < grid.tap_count; ++t) {
          const Tap& tap = grid.taps[t];
          const int64_t h = i * grid.step_h + tap.dh, w = j * grid.step_w + tap.dw;
          if (h >= 0 && h < grid.source_H && w >= 0 && w < grid.source_W)
            sum += take(image + (h * grid.source_W + w) * C + c) * take(weight + tap.kernel * C + c);
        }
        if (lanes == kVecFloats)
          store(out + c, sum);
        else
          store_part(out + c, sum, lanes);
      }
    }
  });
}

// Rows of output pixels; a part is a run of them.
PYCONV_INLINE int64_t weight_parts(const Conv2dShape& s) {
  return max(1, min(kMaxPartials, s.N * s.OH));
}

}  // namespace

size_t workspace(const Conv2dShape& s, Conv2dPass pass) {
  const int64_t taps = s.KH * s.KW;
  if (pass != Conv2dPass::kBackwardWeight) return static_cast<size_t>(taps) * sizeof(Tap);
  return static_cast<size_t>(weight_parts(s) * (taps + 1) * s.C_in) * sizeof(float);
}

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  forward_grid(s, static_cast<Tap*>(context.workspace),
               [&](const Grid& grid) { run_grid(grid, s.C_in, p.x, p.weight, p.bias, p.y); });
  return kOk;
}

Status backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  backward_input_grids(s, static_cast<Tap*>(context.workspace),
                       [&](const Grid& grid) { run_grid(grid, s.C_in, p.dy, p.weight, nullptr, p.dx); });
  return kOk;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& p) {
  const int64_t parts = weight_parts(s), taps = s.KH * s.KW, C = s.C_in, part_floats = (taps + 1) * C;
  float* partials = static_cast<float*>(context.workspace);
  parallel(parts, [&](int64_t part) {
    float* sums = partials + part * part_floats;
    for (int64_t i = 0; i < part_floats; ++i) sums[i] = 0;
    const Range rows = chunk_range(s.N * s.OH, parts, part);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int64_t n = row / s.OH, oh = row % s.OH;
      const float* dy_row = p.gradient.d + row * s.OW * C;
      for (int64_t kh = 0; kh < s.KH; ++kh) {
        const int64_t h = oh * s.stride_h + kh * s.dilation_h - s.pad_top;
        if (h < 0 || h >= s.H) continue;
        for (int64_t kw = 0; kw < s.KW; ++kw) {
          float* sum = sums + (kh * s.KW + kw) * C;
          for (int64_t ow = 0; ow < s.OW; ++ow) {
            const int64_t w = ow * s.stride_w + kw * s.dilation_w - s.pad_left;
            if (w < 0 || w >= s.W) continue;
            const float* a = p.x + ((n * s.H + h) * s.W + w) * C;
            for (int64_t c = 0; c < C; ++c) sum[c] += a[c] * dy_row[ow * C + c];
          }
        }
      }
      float* sum = sums + taps * C;
      for (int64_t ow = 0; ow < s.OW; ++ow)
        for (int64_t c = 0; c < C; ++c) sum[c] += dy_row[ow * C + c];
    }
  });
  for (int64_t i = 0; i < part_floats; ++i) {
    float* out = i < taps * C ? p.dweight + i : p.dbias ? p.dbias + i - taps * C : nullptr;
    if (!out) break;
    *out = partials[i];
    for (int64_t part = 1; part < parts; ++part) *out += partials[part * part_floats + i];
  }
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise
