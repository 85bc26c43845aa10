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

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(PYCONV_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PYCONV_CUDA=ON needs nvcc, which was not found: install the CUDA toolkit 12.8 or newer "
                        "(developer.nvidia.com/cuda-downloads) and put its bin folder on the PATH, or name nvcc in "
                        "the variable CUDACXX. PYCONV_CUDA=OFF builds for the CPU only")
  endif()
  message(STATUS "CUDA: not built (no nvcc; PYCONV_CUDA=ON would insist)")
  return()
endif()

set(architectures "${PYCONV_CUDA_ARCHITECTURES}")
if(NOT architectures AND PYCONV_CUDA STREQUAL "ON")
  set(architectures 75-real 80-real 90a-real 90-virtual)
elseif(NOT architectures)
  find_program(PYCONV_NVIDIA_SMI nvidia-smi)
  if(PYCONV_NVIDIA_SMI)
    execute_process(COMMAND ${PYCONV_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE capabilities ERROR_QUIET RESULT_VARIABLE failed)
  endif()
  if(NOT PYCONV_NVIDIA_SMI OR failed)
    message(STATUS "CUDA: not built (nvcc is here, a GPU is not; PYCONV_CUDA=ON builds for the usual ones)")
    return()
  endif()
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" architectures "${capabilities}")
  list(TRANSFORM architectures REPLACE "\\." "")
  list(REMOVE_DUPLICATES architectures)
  list(TRANSFORM architectures REPLACE "^90$" "90a")
  list(TRANSFORM architectures APPEND "-real")
endif()
set(CMAKE_CUDA_ARCHITECTURES ${architectures})
enable_language(CUDA)
message(STATUS "CUDA: built with nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${architectures}")

# CMake 3.25 (Debian 12's) does not know what nvcc 13 can do.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

set(PYCONV_CUDA_OPS
    conv2d conv2d_3x3 conv2d_3x3_weight conv2d_few_channels conv2d_general conv2d_depthwise linear max_pool2d avg_pool2d relu add dropout
    batch_norm softmax softmax_cross_entropy accuracy sum adam sgd gather affine runtime table)
list(TRANSFORM PYCONV_CUDA_OPS REPLACE "(.+)" "cuda/\\1.cu" OUTPUT_VARIABLE PYCONV_CUDA_SOURCES)
add_library(pyconv_cuda SHARED ${PYCONV_CUDA_SOURCES})
target_compile_options(pyconv_cuda PRIVATE -Xcompiler=-Wall,-Wextra --compress-mode=size)
if("$ENV{PYCONV_WERROR}")
  target_compile_options(pyconv_cuda PRIVATE -Werror=all-warnings)
endif()
set_target_properties(pyconv_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
                      CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF)
target_link_options(pyconv_cuda PRIVATE -Wl,--gc-sections -Wl,-s -Wl,--exclude-libs,ALL)
install(TARGETS pyconv_cuda LIBRARY DESTINATION pyconv)
