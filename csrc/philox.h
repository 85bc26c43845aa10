// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11), for CPU and CUDA.
// Held to Random123's known answers by tests/test_philox.py.
//
// Key = seed; counter = {block, purpose, epoch, step}. Each use of randomness has a purpose of its own, so
// no two uses share numbers, and any draw can be repeated without the ones before it.
#pragma once

#include <cstdint>

#include "portable.h"

namespace pyconv {

enum PhiloxPurpose : uint32_t {
  kPhiloxWeights = 1u << 24,  // + the parameter's place in the model
  kPhiloxShuffle = 2u << 24,
  kPhiloxAugment = 3u << 24,
  kPhiloxDropout = 4u << 24,  // + the layer's place in the model
  kPhiloxData = 5u << 24,     // generated data sets
};

struct PhiloxBlock {
  uint32_t word[4];
};

PYCONV_PORTABLE PhiloxBlock philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// rng: {seed low, seed high, epoch, step}.
PYCONV_PORTABLE PhiloxBlock philox(const uint32_t* rng, uint32_t purpose, uint32_t block) {
  return philox(block, purpose, rng[2], rng[3], rng[0], rng[1]);
}

// The top 24 bits as a float in [0, 1).
PYCONV_PORTABLE float philox_uniform(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

}  // namespace pyconv
