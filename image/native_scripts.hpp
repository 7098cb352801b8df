// SPDX-License-Identifier: Apache-2.0
// Only for native.cpp: the sh scripts of .singularity.d. They are for runtimes that execute or
// interpret them (Singularity, Apptainer, enroot, a person in a chroot); Slipway's launcher does
// the same itself. Plain POSIX, because Apptainer runs them in an interpreter of its own.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace slipway::image::scripts {

inline constexpr std::string_view only_shell = "#!/bin/sh\n";

/// Front of every action: the image's environment.
inline constexpr std::string_view action_head = R"sh(#!/bin/sh

for image_file in /.singularity.d/env/*.sh; do
    if [ -f "$image_file" ]; then
        . "$image_file"
    fi
done
unset image_file

)sh";

inline constexpr std::string_view action_exec = R"sh(exec "$@"
)sh";

inline constexpr std::string_view action_run = R"sh(if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    if [ -x "/scif/apps/${SINGULARITY_APPNAME}/scif/runscript" ]; then
        exec "/scif/apps/${SINGULARITY_APPNAME}/scif/runscript" "$@"
    fi
    echo "no runscript for contained app: ${SINGULARITY_APPNAME}" >&2
    exit 1
fi
if [ -x /.singularity.d/runscript ]; then
    exec /.singularity.d/runscript "$@"
fi
echo "No runscript found in container, executing /bin/sh" >&2
exec /bin/sh "$@"
)sh";

inline constexpr std::string_view action_shell =
    R"sh(if [ -n "${SINGULARITY_SHELL:-}" ] && [ -x "${SINGULARITY_SHELL:-}" ]; then
    exec "$SINGULARITY_SHELL" "$@"
fi
if [ -x /bin/bash ]; then
    exec /bin/bash --norc "$@"
fi
if [ -x /bin/sh ]; then
    exec /bin/sh "$@"
fi
echo "/bin/sh does not exist in container" >&2
exit 1
)sh";

inline constexpr std::string_view action_start =
    R"sh(# Process 1 waits stopped until the instance is set up.
kill -CONT 1
if [ -x /.singularity.d/startscript ]; then
    exec /.singularity.d/startscript "$@"
fi
echo "No instance start script found in container" >&2
)sh";

inline constexpr std::string_view action_test = R"sh(if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    if [ -x "/scif/apps/${SINGULARITY_APPNAME}/scif/test" ]; then
        exec "/scif/apps/${SINGULARITY_APPNAME}/scif/test" "$@"
    fi
    echo "no test for contained app: ${SINGULARITY_APPNAME}" >&2
    exit 1
fi
if [ -x /.singularity.d/test ]; then
    exec /.singularity.d/test "$@"
fi
echo "No test script found in container, exiting" >&2
exit 0
)sh";

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 5> actions = {{
    {"exec", action_exec},
    {"run", action_run},
    {"shell", action_shell},
    {"start", action_start},
    {"test", action_test},
}};

inline constexpr std::string_view environment_base = R"sh(#!/bin/sh
# The environment of the image is made of the files here, read in the order of their names.
)sh";

inline constexpr std::string_view environment_hook = R"sh(#!/bin/sh
# Variables of your own: this file is read after those of the image's builder.
)sh";

inline constexpr std::string_view environment_apps = R"sh(#!/bin/sh
# SCIF: variables of the application that was asked for with --app.
if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    SCIF_APPS="/scif/apps"
    SCIF_DATA="/scif/data"
    SCIF_APPNAME="$SINGULARITY_APPNAME"
    SCIF_APPROOT="$SCIF_APPS/$SCIF_APPNAME"
    if [ -d "$SCIF_APPROOT" ]; then
        SCIF_APPMETA="$SCIF_APPROOT/scif"
        SCIF_APPBIN="$SCIF_APPROOT/bin"
        SCIF_APPLIB="$SCIF_APPROOT/lib"
        SCIF_APPENV="$SCIF_APPMETA/env/90-environment.sh"
        SCIF_APPRUN="$SCIF_APPMETA/runscript"
        SCIF_APPLABELS="$SCIF_APPMETA/labels.json"
        SCIF_APPDATA="$SCIF_DATA/$SCIF_APPNAME"
        SCIF_APPINPUT="$SCIF_APPDATA/input"
        SCIF_APPOUTPUT="$SCIF_APPDATA/output"
        export SCIF_APPS SCIF_DATA SCIF_APPNAME SCIF_APPROOT SCIF_APPMETA SCIF_APPBIN SCIF_APPLIB
        export SCIF_APPENV SCIF_APPRUN SCIF_APPLABELS SCIF_APPDATA SCIF_APPINPUT SCIF_APPOUTPUT
        if [ -d "$SCIF_APPBIN" ]; then
            PATH="$SCIF_APPBIN:$PATH"
            export PATH
        fi
        if [ -d "$SCIF_APPLIB" ]; then
            LD_LIBRARY_PATH="$SCIF_APPLIB${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
            export LD_LIBRARY_PATH
        fi
        if [ -f "$SCIF_APPMETA/env/01-base.sh" ]; then
            . "$SCIF_APPMETA/env/01-base.sh"
        fi
        if [ -f "$SCIF_APPENV" ]; then
            . "$SCIF_APPENV"
        fi
    else
        echo "Could not locate the container application: $SCIF_APPNAME" >&2
        exit 1
    fi
fi
)sh";

inline constexpr std::string_view environment_libraries = R"sh(#!/bin/sh
# Libraries of the host (GPU drivers) are bound into .singularity.d/libs.
LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"
# Unset, or what sh itself sets.
if [ -z "${PS1:-}" ]; then
    PS1="Singularity> "
elif [ "$PS1" = "# " ]; then
    PS1="Singularity> "
elif [ "$PS1" = '$ ' ]; then
    PS1="Singularity> "
fi
export LD_LIBRARY_PATH PS1
)sh";

inline constexpr std::string_view environment_runtime = R"sh(#!/bin/sh
# What the caller asked to do to PATH.
if [ -n "${SING_USER_DEFINED_PREPEND_PATH:-}" ]; then
    PATH="$SING_USER_DEFINED_PREPEND_PATH:$PATH"
fi
if [ -n "${SING_USER_DEFINED_APPEND_PATH:-}" ]; then
    PATH="$PATH:$SING_USER_DEFINED_APPEND_PATH"
fi
if [ -n "${SING_USER_DEFINED_PATH:-}" ]; then
    PATH="$SING_USER_DEFINED_PATH"
fi
unset SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH SING_USER_DEFINED_PATH
export PATH
)sh";

inline constexpr std::string_view runscript_head = R"sh(#!/bin/sh
# ENTRYPOINT and CMD of the image; arguments take the place of CMD.
)sh";

inline constexpr std::string_view runscript_tail = R"sh(
# As Singularity always did: the words of the caller are evaluated once more.
if [ $# -eq 0 ]; then
    IMAGE_COMMAND="$OCI_ENTRYPOINT $OCI_CMD"
else
    IMAGE_COMMAND="$OCI_ENTRYPOINT"
    for image_word in "$@"; do
        IMAGE_COMMAND="$IMAGE_COMMAND \"$image_word\""
    done
fi
eval "set -- $IMAGE_COMMAND"
unset OCI_ENTRYPOINT OCI_CMD IMAGE_COMMAND image_word
exec "$@"
)sh";

inline constexpr std::string_view runscript_without_program = R"sh(#!/bin/sh
# The image names neither ENTRYPOINT nor CMD: the caller's words are run, without any a shell.
if [ $# -eq 0 ]; then
    echo "the image names no program, executing /bin/sh" >&2
    exec /bin/sh
fi
if [ -n "${SINGULARITY_NO_EVAL:-}" ] || [ -n "${APPTAINER_NO_EVAL:-}" ]; then
    exec "$@"
fi
IMAGE_COMMAND=""
for image_word in "$@"; do
    IMAGE_COMMAND="$IMAGE_COMMAND \"$image_word\""
done
eval "set -- $IMAGE_COMMAND"
unset IMAGE_COMMAND image_word
exec "$@"
)sh";

} // namespace slipway::image::scripts
