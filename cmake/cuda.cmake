# PYCONV_CUDA: AUTO builds the CUDA library for the GPUs of this machine, where nvcc and a GPU are there; ON builds it
# for the release's architectures; OFF never. PYCONV_CUDA_ARCHITECTURES overrides which (CMake's notation).
set(PYCONV_CUDA AUTO CACHE STRING "Build the CUDA library: AUTO, ON or OFF")
set(PYCONV_CUDA_ARCHITECTURES "" CACHE STRING "Architectures of the CUDA library; empty: by PYCONV_CUDA")
set_property(CACHE PYCONV_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT PYCONV_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "PYCONV_CUDA is '${PYCONV_CUDA}', expected AUTO, ON or OFF")
endif()
if(PYCONV_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: not built (PYCONV_CUDA=OFF)")
  return()
endif()

include(${PROJECT_SOURCE_DIR}/cmake/find_cuda.cmake)
set(asked "${PYCONV_CUDA_ARCHITECTURES}")
if(NOT asked AND PYCONV_CUDA STREQUAL "ON")
  set(asked 75-real 80-real 90a-real 90-virtual)
endif()
pyconv_find_cuda("${asked}")
if(NOT PYCONV_CUDA_FOUND AND PYCONV_CUDA STREQUAL "ON")
  message(FATAL_ERROR "PYCONV_CUDA=ON, but: ${PYCONV_CUDA_NOTE}. Install the CUDA toolkit 12.8 or newer "
                      "(developer.nvidia.com/cuda-downloads) and a host compiler that it supports, and put its bin "
                      "folder on the PATH, or name nvcc in the variable CUDACXX and the host compiler in CUDAHOSTCXX. "
                      "PYCONV_CUDA=OFF builds for the CPU only")
elseif(NOT PYCONV_CUDA_FOUND)
  message(STATUS "CUDA: not built (${PYCONV_CUDA_NOTE}; PYCONV_CUDA=ON would insist)")
  return()
elseif(PYCONV_CUDA_NOTE)
  message(STATUS "CUDA: a GPU here is left out (${PYCONV_CUDA_NOTE})")
endif()
set(CMAKE_CUDA_ARCHITECTURES ${PYCONV_CUDA_FOUND})
enable_language(CUDA)
message(STATUS "CUDA: built with nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${PYCONV_CUDA_FOUND}")

# CMake 3.25 (Debian 12's) does not know what nvcc 13 can do.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

set(PYCONV_CUDA_OPS
    conv2d conv2d_3x3 conv2d_3x3_weight conv2d_few_channels conv2d_general conv2d_depthwise conv2d_weight linear max_pool2d avg_pool2d relu add dropout
    batch_norm softmax softmax_cross_entropy accuracy sum adam sgd gather affine runtime table)
list(TRANSFORM PYCONV_CUDA_OPS REPLACE "(.+)" "cuda/\\1.cu" OUTPUT_VARIABLE PYCONV_CUDA_SOURCES)
add_library(pyconv_cuda SHARED ${PYCONV_CUDA_SOURCES})
string(MAKE_C_IDENTIFIER PYCONV_NVCC_${CMAKE_CUDA_COMPILER_VERSION} nvcc)
target_compile_definitions(pyconv_cuda PRIVATE ${nvcc})  # another nvcc compiles all anew
target_compile_options(pyconv_cuda PRIVATE -Xcompiler=-Wall,-Wextra --compress-mode=size)
if("$ENV{PYCONV_WERROR}")
  target_compile_options(pyconv_cuda PRIVATE -Werror=all-warnings)
endif()
set_target_properties(pyconv_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
                      CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF)
target_link_options(pyconv_cuda PRIVATE -Wl,--gc-sections -Wl,-s -Wl,--exclude-libs,ALL)
install(TARGETS pyconv_cuda LIBRARY DESTINATION pyconv)
