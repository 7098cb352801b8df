#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds Slipway on a bare Debian 12: installs what the build needs, then makes the release preset.
# Programs: build/release/bin, helpers: build/release/libexec, plugin: build/release/lib/slurm.
set -euo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# The unit tests belong to the release build, so what they need belongs to the build.
need_packages build test
configure_and_build release "$@"
say "built in $SLIPWAY_ROOT/build/release"
