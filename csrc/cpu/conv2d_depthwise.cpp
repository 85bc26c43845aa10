// Depthwise convolution, one filter a channel (groups = C_in = C_out): vectors run over channels, and a tile is a
// run of pixels of one row whose sums stay in registers over all taps. A chunk owns a run of destination rows.
#include "conv2d_depthwise.h"

#include "conv2d_phases.h"
#include "gemm.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise {
namespace {

// A pass as a gather: target row h of an image belongs to phases [h % phases_h * phases_w, ... + phases_w).
struct Gather {
  const Phase* phases;
  int64_t phases_h, phases_w;
  int64_t C;
  int64_t taps;                         // of all phases
  const float *source, *weight, *bias;  // weight: in blocks; bias: null for 0
  float* target;
};

// One row of points. Its taps are those whose source row lies in the image: neighbours in the phase's list.
struct Line {
  const Phase& phase;
  int64_t C, taps, h;
  const float *source, *weight, *bias;  // source: image row i * step_h, which may lie outside the image
  float* target;
  const Tap *first, *last;

  Line(const Gather& gather, const Phase& g, int64_t n, int64_t i)
      : phase(g), C(gather.C), taps(gather.taps), weight(gather.weight), bias(gather.bias) {
    h = i * phase.step_h;
    source = gather.source + (n * phase.source_H + h) * phase.source_W * C;
    target = gather.target + (phase.target_first + n * phase.target_n + i * phase.target_h) * C;
    const auto outside = [&](const Tap& tap) { return h + tap.dh < 0 || h + tap.dh >= phase.source_H; };
    first = phase.taps;
    last = first + phase.tap_count;
    while (first != last && outside(*first)) ++first;
    while (first != last && outside(last[-1])) --last;
  }
};

// Points [j, j + R) of the line. `border`: a tap may lie outside the row.
template <class Block, int R, bool border>
void run_tile(const Line& line, int64_t j, int64_t c) {
  using L = typename Block::Lane;
  using Float = typename L::Float;
  constexpr int V = Block::kVecs;
  const int64_t C = line.C, step = line.phase.step_w * C;
  Float sum[R][V];
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r) {
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) sum[r][v] = line.bias ? load_float<L>(line.bias + c + v * L::kCount) : Float{};
  }
  for (const Tap* tap = line.first; tap != line.last; ++tap) {
    const int64_t w = j * line.phase.step_w + tap->dw;
    if (border && (w < 0 || w >= line.phase.source_W)) continue;
    const float* in = line.source + (tap->dh * line.phase.source_W + w) * C + c;
    const float* weight = line.weight + line.taps * c + tap->kernel * Block::kCount;
    Float factor[V];
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) factor[v] = load_float<L>(weight + v * L::kCount);
    PYCONV_UNROLL
    for (int r = 0; r < R; ++r, in += step) {
      PYCONV_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] += load_float<L>(in + v * L::kCount) * factor[v];
    }
  }
  float* out = line.target + j * line.phase.target_w * C + c;
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r, out += line.phase.target_w * C) {
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) {
      store_as(out + v * L::kCount, sum[r][v]);
      __builtin_prefetch(out + line.phase.target_h * C + v * L::kCount, 1, 2);
    }
  }
}

template <class Block, int R = kTileRows>
PYCONV_INLINE void run_tile_of(int64_t count, const Line& line, int64_t j, int64_t c) {
  if constexpr (R > 1)
    if (count < R) return run_tile_of<Block, R - 1>(count, line, j, c);
  run_tile<Block, R, false>(line, j, c);
}

// The rows of the image that are new to the next line.
PYCONV_INLINE Ahead next_rows(const Line& line, int64_t tiles) {
  const int64_t row = line.phase.source_W * line.C;
  const int64_t reach = line.first == line.last ? 0 : max(line.first->dh, line.last[-1].dh) + 1;
  const int64_t rows = min(line.phase.step_h, line.phase.source_H - line.h - reach);
  return rows > 0 ? Ahead(line.source + reach * row, rows * row, tiles) : Ahead();
}

PYCONV_INLINE void run_line(const Line& line, const Range& inner) {
  const int64_t tiles = ceil_div(inner.end - inner.begin, kTileRows);
  Ahead ahead = next_rows(line, tiles * ceil_div(line.C, kTileColumns));
  for_channels<kTileVecs>(line.C, [&](auto block, int64_t c) PYCONV_LANES_BODY {
    using Block = decltype(block);
    for (int64_t j = 0; j < inner.begin; ++j) run_tile<Block, 1, true>(line, j, c);
    for (int64_t t = 0; t < tiles; ++t) {
      const Range r = chunk_range(inner.end - inner.begin, tiles, t);
      ahead.step();
      run_tile_of<Block>(r.end - r.begin, line, inner.begin + r.begin, c);
    }
    for (int64_t j = inner.end; j < line.phase.W; ++j) run_tile<Block, 1, true>(line, j, c);
  });
}

// The points of a row that see all taps inside the image.
PYCONV_INLINE Range inner_points(const Phase& phase) {
  int64_t least = 0, most = 0;
  for (int64_t t = 0; t < phase.tap_count; ++t) {
    least = min(least, phase.taps[t].dw);
    most = max(most, phase.taps[t].dw);
  }
  const int64_t begin = min(phase.W, ceil_div(-least, phase.step_w));
  const int64_t end = phase.source_W > most ? ceil_div(phase.source_W - most, phase.step_w) : 0;
  return {begin, max(begin, min(phase.W, end))};
}

PYCONV_INLINE void run(const Gather& gather, int64_t N, int64_t H, int64_t W) {
  const int64_t rows = N * H, chunks = min(rows, elementwise_chunks(rows * W * gather.C));
  parallel(chunks, [&](int64_t chunk) {
    const Range range = chunk_range(rows, chunks, chunk);
    for (int64_t row = range.begin; row < range.end; ++row) {
      const int64_t n = row / H, h = row % H;
      for (int64_t w = 0; w < gather.phases_w; ++w) {
        const Phase& phase = gather.phases[h % gather.phases_h * gather.phases_w + w];
        run_line(Line(gather, phase, n, h / gather.phases_h), inner_points(phase));
      }
    }
  });
}

// The workspace holds the weights in blocks, then taps, then phases.
int64_t weight_floats(const Conv2dShape& s) {
  return round_up(s.KH * s.KW * s.C_in, 16);
}

Tap* pack_weight(const Context& context, const Conv2dShape& s, const float* weight) {
  float* packed = static_cast<float*>(context.workspace);
  for_blocked<kTileVecs>(s.KH * s.KW, s.C_in, [&](auto lanes, int64_t to, int64_t from) PYCONV_LANES_BODY {
    store_as(packed + to, load_float<decltype(lanes)>(weight + from));
  });
  return reinterpret_cast<Tap*>(packed + weight_floats(s));
}

size_t workspace(const Conv2dShape& s, Conv2dPass pass) {
  if (pass == Conv2dPass::kBackwardWeight) return weight_workspace(s);
  return static_cast<size_t>(weight_floats(s)) * sizeof(float) + static_cast<size_t>(s.KH * s.KW) * sizeof(Tap) +
         static_cast<size_t>(max(1, backward_input_phase_count(s))) * sizeof(Phase);
}

void forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  const float* packed = static_cast<const float*>(context.workspace);
  const Phase phase = forward_phase(s, pack_weight(context, s, p.weight));
  run({&phase, 1, 1, s.C_in, s.KH * s.KW, p.x, packed, p.bias, p.y}, s.N, s.OH, s.OW);
}

void backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  const float* packed = static_cast<const float*>(context.workspace);
  Tap* taps = pack_weight(context, s, p.weight);
  Phase* phases = reinterpret_cast<Phase*>(taps + s.KH * s.KW);
  write_backward_input_phases(s, taps, phases);
  run({phases, min(s.stride_h, s.H), min(s.stride_w, s.W), s.C_in, s.KH * s.KW, p.dy, packed, nullptr, p.dx}, s.N,
      s.H, s.W);
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise

namespace pyconv::cpu::PYCONV_CPU_ISA {

const Algorithm kDepthwise{
    .fits = [](const Conv2dShape& s) { return s.groups > 1 && s.groups == s.C_in && s.groups == s.C_out; },
    .forward = depthwise::forward,
    .backward_input = depthwise::backward_input,
    .backward_weight = depthwise::backward_weight,
    .workspace = depthwise::workspace,
    .prepared_bytes = nullptr,
    .prepare = nullptr,
    .fusions = 0,
};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
