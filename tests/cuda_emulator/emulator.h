// What the emulator's rooms know of each other. All of it runs on one thread at a time.
#pragma once

#include <cstddef>
#include <string>

#include "csrc/cuda/device.cuh"

namespace emulator {

// The order in which threads of a block run, 0 to 3: forwards, backwards, shuffled, shuffled anew at each round.
extern int order;

// What cudaGetErrorString answers.
extern std::string last_error;

// ---- memory.cpp: each allocation lies between two red zones of this many bytes.
constexpr size_t kRedZone = 256;

// Fills fresh memory with what a kernel cannot mistake for results.
void poison(void* memory, size_t bytes);
cudaError_t allocate(void** memory, size_t bytes);
cudaError_t release(void* memory);
// Whether kernels kept to their memory: nobody wrote into red zones, or to what was freed since the last check.
cudaError_t check_memory();

}  // namespace emulator
