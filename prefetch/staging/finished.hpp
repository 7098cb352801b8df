// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/isolated.hpp"
#include "prefetch/sources/source.hpp"
#include "prefetch/stage/stage_types.hpp"

#include <functional>
#include <stop_token>

namespace slipway::prefetch::staging {

/// Looks at the structure of an open image; the default is convert::check_isolated().
using CheckFinished = std::function<base::Result<void>(int fd, const convert::FinishedCheck&,
                                                       std::stop_token)>;

/// Copies a finished image into an empty file open for reading and writing, and has the copy
/// checked: its structure by `check`, then its content against the image's digest. So what the
/// digest names is what was checked and what lies there, whoever writes to the source meanwhile:
/// Code::digest_mismatch. `name` is what the user called it. Progress goes to `sink`.
base::Result<convert::ConvertReport>
take_finished(const sources::ResolvedImage& image, const sources::FinishedFile& file,
              const std::string& name, int out_fd, const CheckFinished& check,
              const stage::StageSink& sink, const std::stop_token& stop);

} // namespace slipway::prefetch::staging
