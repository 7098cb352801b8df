# SPDX-License-Identifier: Apache-2.0
# Language, warnings, sanitizers: two interface targets that every target of ours links.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    # Paths below the source tree are hashed as relative ones: a second clone finds what the first compiled.
    # ccache wants to be told that precompiled headers are what their sources say.
    set(CMAKE_CXX_COMPILER_LAUNCHER /usr/bin/env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
        CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
    set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

set(SLIPWAY_SANITIZE "" CACHE STRING "Value of -fsanitize= for every target (empty: none)")

add_library(slipway_settings INTERFACE)
target_include_directories(slipway_settings INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(slipway_settings INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
# Hidden by default: the plugin is loaded into hosts that export names like `conf` and `fd`.
target_compile_options(slipway_settings INTERFACE -fvisibility=hidden -fvisibility-inlines-hidden
    -fno-omit-frame-pointer)
if(SLIPWAY_SANITIZE)
    target_compile_options(slipway_settings INTERFACE -fsanitize=${SLIPWAY_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(slipway_settings INTERFACE -fsanitize=${SLIPWAY_SANITIZE})
else()
    target_compile_options(slipway_settings INTERFACE -fstack-protector-strong)
    target_compile_definitions(slipway_settings INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
    target_link_options(slipway_settings INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()

add_library(slipway_warnings INTERFACE)
target_compile_options(slipway_warnings INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow
    -Wnon-virtual-dtor -Wcast-align -Woverloaded-virtual -Wformat=2 -Wundef -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # -Wrestrict of g++ 12 is wrong about std::string::operator= in optimised code (PR 105651).
    target_compile_options(slipway_warnings INTERFACE -Wduplicated-cond -Wlogical-op -Wno-restrict)
endif()
if(SLIPWAY_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code makes g++ 12 see uninitialised members in every std::optional.
    target_compile_options(slipway_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
if(SLIPWAY_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio's fences, which TSan does not see, only add to the mutexes that it does see.
    target_compile_options(slipway_warnings INTERFACE -Wno-tsan)
endif()

# A build that nobody edits in (that of ASan in CI) reads the large headers once and not for each file: a test compiles
# in little more than half of the time. Not in others: a header that is forgotten must be missed there, and where
# g++ 12 optimises (TSan) it forgets with them that they are the system's and warns of what it sees inlined.
option(SLIPWAY_PRECOMPILED_HEADERS "Precompile what nearly every file includes" OFF)
set(SLIPWAY_COMMON_HEADERS <algorithm> <array> <cerrno> <chrono> <cstdint> <functional> <map> <memory> <optional>
    <span> <string> <string_view> <thread> <utility> <vector> <fmt/core.h>)

# slipway_precompile(TARGET KIND): takes the headers of KIND, rooms or tests. A target of its own for each, because
# libraries and programs differ in -fPIC and -fPIE, which a precompiled header must share with what uses it.
function(slipway_precompile target kind)
    if(NOT SLIPWAY_PRECOMPILED_HEADERS)
        return()
    endif()
    if(NOT TARGET precompiled_${kind})
        set(source ${PROJECT_BINARY_DIR}/generated/precompiled_${kind}.cpp)
        file(CONFIGURE OUTPUT ${source} CONTENT "int main() {}\n")
        if(kind STREQUAL "rooms")
            add_library(precompiled_${kind} STATIC ${source})
            target_precompile_headers(precompiled_${kind} PRIVATE ${SLIPWAY_COMMON_HEADERS})
        else()
            add_executable(precompiled_${kind} ${source})
            target_precompile_headers(precompiled_${kind} PRIVATE ${SLIPWAY_COMMON_HEADERS} <catch2/catch.hpp>)
        endif()
        target_link_libraries(precompiled_${kind} PRIVATE slipway_settings slipway_warnings)
    endif()
    target_precompile_headers(${target} REUSE_FROM precompiled_${kind})
endfunction()
