// SPDX-License-Identifier: Apache-2.0
// The tree's rules are compared with umoci in tests/integration/convert; here are the parts that
// need no other tool.
#include "prefetch/convert/layer_reader.hpp"
#include "prefetch/convert/tree.hpp"
#include "tar_build.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.hpp"
#include "prefetch/convert/native_overlay.hpp"

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

/// Layers read from the top down and applied from the bottom up, as the converter does.
struct Fixture {
    Budget budget;
    NamePool names{budget};
    NamePool xattrs{budget};
    PathPool paths{names};
    Tree tree{names, paths};
    base::UniqueFd file{memfd_create("test", MFD_CLOEXEC)};
    std::unique_ptr<DataWriter> data;
    ConvertOptions options;
    std::unique_ptr<LayerReader> reader;
    std::vector<LayerRecords> records;

    Fixture() {
        REQUIRE(xattrs.add(""));
        data = std::move(*DataWriter::create(file.get(), 0, 96, {}));
        reader = std::make_unique<LayerReader>(names, paths, xattrs, *data, options);
    }
    base::Result<void> build(const std::vector<std::string>& layers) {
        records.resize(layers.size());
        for (std::size_t i = layers.size(); i-- > 0;) {
            TextInput input(layers[i] + tar_end(), 10'000);
            TRY_ASSIGN(records[i], reader->read(input, static_cast<std::uint16_t>(i)));
        }
        for (const auto& layer : records) {
            TRY(tree.apply(layer));
        }
        return {};
    }
    std::string list(Tree::NodeId node = Tree::root, const std::string& at = "") {
        std::string out;
        for (const auto& [name, child] : tree.children(node)) {
            const std::string path = at + std::string(names.text(name));
            out += path + (tree.is_directory(child) ? "/ " : " ");
            if (tree.is_directory(child)) {
                out += list(child, path + "/");
            }
        }
        return out;
    }
};

std::string whiteout(std::string_view folder, std::string_view name) {
    return tar_file(fmt::format("{}.wh.{}", folder, name), "");
}

} // namespace

TEST_CASE("names and paths are stored once") {
    Budget budget;
    NamePool names(budget);
    PathPool paths(names);
    const PathPool::Limits limits;
    const auto a = paths.add("/usr//lib/./x", limits);
    const auto b = paths.add("usr/lib/y/../x/", limits);
    REQUIRE(a);
    REQUIRE(b);
    CHECK(a->path == b->path);
    CHECK_FALSE(a->climbed);
    CHECK(b->climbed);
    CHECK(paths.text(a->path) == "usr/lib/x");
    CHECK(paths.add("../..", limits)->path == PathPool::root);
    CHECK(paths.add("a/..", limits)->path == PathPool::root);
    CHECK(paths.text(paths.add("../../x", limits)->path) == "x");
    CHECK(paths.add(std::string("a\0b", 3), limits).error().code == Code::layer_invalid);
    CHECK(paths.add(std::string(256, 'n'), limits).error().code == Code::layer_invalid);
    CHECK(paths.add(std::string(5000, '/'), limits).error().code == Code::limit_exceeded);
    for (int i = 0; i < 5000; ++i) {
        REQUIRE(paths.add(fmt::format("many/{}/{}", i % 70, i), limits));
    }
    CHECK(paths.text(paths.add("many/7/777", limits)->path) == "many/7/777");
    CHECK(paths.size() < 5000 + 70 + 10);
}

TEST_CASE("upper layers hide files of lower ones, never of their own") {
    Budget budget;
    NamePool names(budget);
    PathPool paths(names);
    const auto path = [&](std::string_view text) { return paths.add(text, {})->path; };
    paths.cover(path("a/file"), 5);
    CHECK(paths.hidden(path("a/file"), 4));
    CHECK(paths.hidden(path("a/file"), 0));
    CHECK_FALSE(paths.hidden(path("a/file"), 5));
    CHECK_FALSE(paths.hidden(path("a"), 0));
    paths.cover_below(path("b"), 3);
    CHECK_FALSE(paths.hidden(path("b"), 0));
    CHECK(paths.hidden(path("b/c/d"), 2));
    CHECK_FALSE(paths.hidden(path("b/c/d"), 3));
    paths.cover_below(path("b"), 1); // a lower layer says so as well: nothing changes
    CHECK(paths.hidden(path("b/c/d"), 2));
    paths.cover_below(PathPool::root, 2);
    CHECK(paths.hidden(path("z"), 1));
    CHECK_FALSE(paths.hidden(path("z"), 2));
}

TEST_CASE("layers make the tree that their order says") {
    Fixture f;
    REQUIRE(f.build({tar_file("d/a", "1") + tar_file("d/b", "2") + tar_entry("s", '2', {}, "d"),
                     tar_file("s/c", "3") + whiteout("s/", "a"), whiteout("", "s")}));
    CHECK(f.list() == "d/ d/b d/c ");
}

TEST_CASE("broken hard links are errors that name both ends") {
    Fixture f;
    const auto result = f.build({tar_entry("new", '1', {}, "gone")});
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::layer_invalid);
    CHECK(result.error().one_line().find("'new'") != std::string::npos);
    CHECK(result.error().one_line().find("'gone'") != std::string::npos);
}

TEST_CASE("symlinks that multiply each other end in an error") {
    Fixture f;
    std::string layer = tar_entry("d", '5') + tar_entry("l0", '2', {}, "d");
    for (int i = 1; i < 40; ++i) {
        const std::string below = fmt::format("l{}", i - 1);
        layer += tar_entry(fmt::format("l{}", i), '2', {}, below + "/../" + below + "/../" + below);
    }
    const auto result = f.build({layer, tar_file("l39/x", "")});
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::layer_invalid);
}

TEST_CASE("entries of native images follow their rules") {
    Fixture f;
    REQUIRE(f.build({tar_file("keep", "old") + tar_file("replace", "old") + tar_file("cut", "old") +
                     tar_entry("link", '2', {}, "wrong") + tar_file("nolink", "old") +
                     tar_entry("dir", '2', {}, "elsewhere") + tar_entry("cutlink", '2', {}, "x") +
                     tar_entry("real", '5') + tar_entry("to", '2', {}, "real")}));
    using image::EntryKind;
    using image::EntryRule;
    const std::vector<image::NativeEntry> entries = {
        {"keep", EntryKind::directory, EntryRule::keep, 0755, ""},
        {"new/deep", EntryKind::directory, EntryRule::keep, 0700, ""},
        {"replace", EntryKind::file, EntryRule::replace, 0755, "fresh"},
        {"cut", EntryKind::file, EntryRule::truncate, 0600, ""},
        {"cutlink", EntryKind::file, EntryRule::truncate, 0600, ""},
        {"link", EntryKind::symlink, EntryRule::link, 0777, "right"},
        {"nolink", EntryKind::symlink, EntryRule::link, 0777, "right"},
        {"dir", EntryKind::directory, EntryRule::directory, 0711, ""},
        {"to/file", EntryKind::file, EntryRule::replace, 0644, "through the link"},
    };
    REQUIRE(overlay_native(f.tree, *f.data, f.names, entries, 4711));
    CHECK(f.list() == "cut cutlink dir/ keep link new/ new/deep/ nolink real/ real/file replace to ");
    const auto meta = [&](std::string_view path) -> const Record& {
        return f.tree.meta(f.tree.find(path)->node);
    };
    CHECK(meta("cut").mode == 0644); // kept
    CHECK(meta("cut").value == Record::no_payload);
    CHECK(meta("cutlink").kind == RecordKind::file);
    CHECK(meta("cutlink").mode == 0600);
    CHECK(f.names.text(meta("link").value) == "right");
    CHECK(meta("nolink").kind == RecordKind::file);
    CHECK(meta("dir").mode == 0711);
    CHECK(meta("new/deep").mtime == 4711);
    CHECK(f.data->payload(meta("replace").value).size == 5);
}

TEST_CASE("an old definition file goes into the history") {
    Fixture f;
    REQUIRE(f.build({tar_file(".singularity.d/Singularity", "old text") +
                     tar_file(".singularity.d/bootstrap_history/Singularity0", "older")}));
    REQUIRE(overlay_native(f.tree, *f.data, f.names,
                           {{".singularity.d/Singularity", image::EntryKind::file,
                             image::EntryRule::replace, 0644, "new"}},
                           0));
    CHECK(f.list() == ".singularity.d/ .singularity.d/Singularity .singularity.d/bootstrap_history/ "
                      ".singularity.d/bootstrap_history/Singularity0 "
                      ".singularity.d/bootstrap_history/Singularity1 ");
    const auto& moved = f.tree.meta(f.tree.find(".singularity.d/bootstrap_history/Singularity1")->node);
    CHECK(f.data->payload(moved.value).size == 8);
}
