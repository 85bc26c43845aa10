// How functions are declared that CPU and CUDA kernels share: every file gets an inlined copy of its own, so that
// code for one instruction set is never called by another.
#pragma once

#ifdef __CUDACC__
#define PYCONV_PORTABLE __host__ __device__ __forceinline__ static
#else
#define PYCONV_PORTABLE __attribute__((always_inline)) static inline
#endif
