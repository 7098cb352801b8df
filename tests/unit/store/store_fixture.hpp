// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/temp_dir.hpp"
#include "store/store.hpp"

#include <string>

namespace slipway::test {

/// A store in a directory of its own, and a way to put an image into it.
struct StoreFixture {
    StoreFixture();
    base::TempDir dir;
    store::StoreOptions options;

    [[nodiscard]] store::Store open() const;
    static store::ImageId id_of(int number);
    /// Publishes `content` as image `number`.
    static base::Result<store::StoredImage> put(const store::Store& store, int number,
                                                const std::string& content);
    /// Provenance that fits `content`.
    static store::Provenance provenance_of(const store::ImageId& id, const std::string& content);
    [[nodiscard]] std::size_t entries(const std::string& part) const;
};

} // namespace slipway::test
