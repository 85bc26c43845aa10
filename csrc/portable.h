// Functions that CPU kernels and CUDA kernels share: in every unit its own inlined copy, so that no instruction
// set leaks into another's code.
#pragma once

#ifdef __CUDACC__
#define PYCONV_PORTABLE __host__ __device__ __forceinline__ static
#else
#define PYCONV_PORTABLE __attribute__((always_inline)) static inline
#endif
