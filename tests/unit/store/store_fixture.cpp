// SPDX-License-Identifier: Apache-2.0
#include "store_fixture.hpp"

#include "base/directory.hpp"
#include "base/fd.hpp"
#include "image/digest.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

namespace slipway::test {

StoreFixture::StoreFixture() {
    auto made = base::TempDir::create("slipway-store-");
    REQUIRE(made);
    dir = std::move(*made);
    options.path = dir.path() + "/store";
    options.appear_ms = 300;
}

store::Store StoreFixture::open() const {
    auto opened = store::Store::open(options);
    REQUIRE(opened);
    return std::move(*opened);
}

store::ImageId StoreFixture::id_of(int number) {
    return store::image_id("sha256:" + std::to_string(number), "linux/amd64", "zstd", "1");
}

store::Provenance StoreFixture::provenance_of(const store::ImageId& id,
                                              const std::string& content) {
    store::Provenance what;
    what.id = id;
    what.reference = "docker://registry/image:1";
    what.layers = {"sha256:a", "sha256:b"};
    what.output_size = content.size();
    what.output_digest = image::sha256(content).text();
    return what;
}

base::Result<store::StoredImage> StoreFixture::put(const store::Store& store, int number,
                                                   const std::string& content) {
    const auto id = id_of(number);
    TRY_ASSIGN(const auto work, store.make_work_dir());
    TRY_ASSIGN(auto file, work.create("image.sif"));
    TRY(base::write_all(file.get(), content));
    TRY(file.close());
    return store.publish(id, work, "image.sif", provenance_of(id, content));
}

std::size_t StoreFixture::entries(const std::string& part) const {
    auto names = base::names_in(options.path + "/" + part);
    REQUIRE(names);
    return names->size();
}

} // namespace slipway::test
