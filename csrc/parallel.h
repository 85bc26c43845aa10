// Work is cut into chunks that the shape alone decides; threads claim them in any order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyconv {

using ChunkTask = void (*)(void* data, int64_t chunk);

// Runs task(data, i) for every i in [0, chunks) and returns when all are done. Safe from several threads at
// once, from inside a task, and in a forked child. What a task throws, on whichever thread, ends the call: chunks
// not begun are left out, and the caller gets the first exception once all threads have left.
void parallel_for(int64_t chunks, ChunkTask task, void* data);

// At least `bytes` of memory, 64-byte aligned, that belongs to the calling thread until it asks again. It grows
// and stays, so that a warm loop allocates nothing. Throws OutOfMemory.
void* thread_scratch(size_t bytes);

// The processors that the affinity mask and the cgroup quota allow, at least 1.
int available_processors();

// How many threads compute. Where the system does not start as many, a warning says so, and it is those there are.
int num_threads();
void set_num_threads(int threads);  // threads >= 1

}  // namespace pyconv
