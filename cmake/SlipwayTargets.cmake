# SPDX-License-Identifier: Apache-2.0
# slipway_add_room(NAME SOURCES … [LIBS …])  a static library slipway_NAME with our settings.
# slipway_add_program(NAME [LIBEXEC] SOURCES … [LIBS …])  a program in bin/ (or libexec/), installed.

# Where this distribution keeps its libraries. Programs carry it as DT_RPATH, the only search path that comes
# before the user's LD_LIBRARY_PATH, also for the libraries of libraries: an environment such as conda's puts
# a libcurl or libcrypto of its own there. Link options of ours, because CMake would leave system directories
# out of a run path of its making, and packagers switch those off.
if(CMAKE_LIBRARY_ARCHITECTURE)
    set(system_libraries /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}:/lib/${CMAKE_LIBRARY_ARCHITECTURE})
elseif(CMAKE_SIZEOF_VOID_P EQUAL 8 AND IS_DIRECTORY /usr/lib64)
    set(system_libraries /usr/lib64:/lib64)
else()
    set(system_libraries /usr/lib:/lib)
endif()

function(slipway_add_room name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    add_library(slipway_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(slipway_${name} PUBLIC slipway_settings ${ARG_LIBS} PRIVATE slipway_warnings)
    slipway_precompile(slipway_${name} rooms)
endfunction()

# What users run, without any test: contrib/demo.sh builds only this.
add_custom_target(programs)

function(slipway_add_program name)
    cmake_parse_arguments(ARG "LIBEXEC" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    add_dependencies(programs ${name})
    target_link_libraries(${name} PRIVATE slipway_settings slipway_warnings ${ARG_LIBS})
    # A room may name a library of which this program needs nothing (libcrypto: 1 ms at every start).
    target_link_options(${name} PRIVATE -Wl,--as-needed -Wl,--disable-new-dtags,-rpath,${system_libraries})
    set_property(GLOBAL APPEND PROPERTY SLIPWAY_PROGRAMS ${name})
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
