// A batch picked from a data set, converted and scaled. Scale and shift are repeated along a period of whole
// vectors where channels are few; one chunk is a run of pieces of examples.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

constexpr int64_t kPieceElements = 32768;

// `values` repeated along the period: itself where that is C, else in `buffer`.
PYCONV_INLINE const float* repeat(const float* values, int64_t C, int64_t period, float* buffer) {
  if (!values || period == C) return values;
  for (int64_t i = 0; i < period; ++i) buffer[i] = i < C ? values[i] : buffer[i - C];
  return buffer;
}

template <class T>
void gather_from(const GatherShape& s, const T* source, const int32_t* index, const float* scale,
                 const float* shift, float* y) {
  const int64_t period = channel_period(s.C), elements = s.elements;
  const int64_t pieces = max(1, elements / kPieceElements), units = s.N * pieces;
  const int64_t chunks = min(units, elementwise_chunks(s.N * elements));
  parallel(chunks, [=](int64_t chunk) {
    float scales[kMaxPeriod], shifts[kMaxPeriod];
    const float* a = repeat(scale, s.C, period, scales);
    const float* b = repeat(shift, s.C, period, shifts);
    const Range r = chunk_range(units, chunks, chunk);
    for (int64_t unit = r.begin; unit < r.end; ++unit) {
      const int64_t n = unit / pieces;
      const Range piece = chunk_range(elements, pieces, unit % pieces, period);
      const T* from = source + (index ? index[n] : n) * elements;
      float* to = y + n * elements;
      for (int64_t e = piece.begin; e < piece.end; e += period)
        for_lanes(0, min(period, piece.end - e), [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
          using L = decltype(lanes);
          auto v = load_float<L>(from + e + c);
          if (a) v *= load_float<L>(a + c);
          if (b) v += load_float<L>(b + c);
          store_as(to + e + c, v);
        });
    }
  });
}

}  // namespace

Status gather(const Context&, const GatherShape& s, DType source_type, const void* source, const int32_t* index,
              const float* scale, const float* shift, float* y) {
  if (source_type == DType::kUint8)
    gather_from(s, static_cast<const uint8_t*>(source), index, scale, shift, y);
  else
    gather_from(s, static_cast<const float*>(source), index, scale, shift, y);
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
