# SPDX-License-Identifier: Apache-2.0
# slipway_add_room(NAME SOURCES … [LIBS …])  a static library slipway_NAME with our settings.
# slipway_add_program(NAME [LIBEXEC] SOURCES … [LIBS …])  a program in bin/ (or libexec/), installed.

function(slipway_add_room name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    add_library(slipway_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(slipway_${name} PUBLIC slipway_settings ${ARG_LIBS} PRIVATE slipway_warnings)
endfunction()

function(slipway_add_program name)
    cmake_parse_arguments(ARG "LIBEXEC" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE slipway_settings slipway_warnings ${ARG_LIBS})
    # A room may name a library of which this program needs nothing (libcrypto: 1 ms at every start).
    target_link_options(${name} PRIVATE -Wl,--as-needed)
    # libstdc++ inside: 0.8 ms less for the dynamic loader at every start.
    if(NOT SLIPWAY_SANITIZE)
        target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
    endif()
    if(ARG_LIBEXEC)
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${SLIPWAY_LIBEXEC_OUTPUT})
        install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/slipway)
    else()
        install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endfunction()
