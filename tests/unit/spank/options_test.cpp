// SPDX-License-Identifier: Apache-2.0
#include "spank/options.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace slipway;
using namespace slipway::spank;

namespace {

base::Result<Settings> settings_of(std::initializer_list<std::pair<OptionId, const char*>> values) {
    Options options;
    for (const auto& [id, value] : values) {
        options.take(id, value);
    }
    return options.settings();
}

base::Code error_of(OptionId id, std::string_view value) {
    Options options;
    options.take(id, value);
    const auto settings = options.settings();
    return settings ? base::Code::internal : settings.error().code;
}

/// Every member filled, and filled differently from what it is without any option. One more member
/// does not compile here.
Settings full_settings() {
    Settings settings;
    auto& [image, image_id, image_store, path, mounts, workdir, environment, mount_home, writable, batch] =
        settings;
    image = "docker://debian:12@sha256:00ff";
    image_id = "";
    image_store = "";
    path = "/images/with blank;and=signs%/é.sif";
    mounts = "/a b:/c,/d:/e:ro";
    workdir = "/w";
    environment = {"A", "B"};
    mount_home = Switch::off;
    writable = Switch::on;
    batch = Switch::off;
    return settings;
}

} // namespace

TEST_CASE("the option table keeps Slurm's rules", "[spank]") {
    std::set<std::string> names;
    std::size_t index = 0;
    for (const auto& row : option_table) {
        const std::string name(row.name);
        CAPTURE(name);
        CHECK(static_cast<std::size_t>(row.id) == index++);
        CHECK(names.insert(name).second);
        CHECK(name != "container"); // Slurm's own
        CHECK(name != "container-id");
        CHECK(name.size() + 20 < 75);
        CHECK(std::string(row.argument) != "");
        CHECK(std::string(row.usage).starts_with("[slipway] "));
        CHECK(row_named(name) == &row);
    }
    CHECK(row_named("container-imag") == nullptr);
}

TEST_CASE("every option fills its member, and no other option does", "[spank]") {
    std::set<std::string> encoded;
    for (const auto& row : option_table) {
        CAPTURE(row.name);
        const auto* value = row.kind == ValueKind::on_off   ? "on"
                            : row.kind == ValueKind::mounts ? "/a:/b"
                            : row.kind == ValueKind::names  ? "A"
                                                            : "/x";
        auto got = settings_of({{row.id, value}});
        REQUIRE(got);
        CHECK(*got != Settings{});
        got->image = "/i";
        got->path = "/i";
        if (row.id != OptionId::image) {
            CHECK(encoded.insert(encode_settings(*got)).second);
        }
        const auto again = decode_settings(encode_settings(*got));
        REQUIRE(again);
        CHECK(*again == *got);
    }
}

TEST_CASE("options that say the opposite of each other are found", "[spank]") {
    const auto found = [](std::initializer_list<std::pair<OptionId, const char*>> values) {
        Options options;
        for (const auto& [id, value] : values) {
            options.take(id, value);
        }
        return options.contradiction().has_value();
    };
    CHECK(found({{OptionId::readonly, nullptr}, {OptionId::writable, nullptr}}));
    CHECK(found({{OptionId::mount_home, "1"}, {OptionId::no_mount_home, "yes"}}));
    CHECK(found({{OptionId::mount_home, "off"}, {OptionId::no_mount_home, "off"}}));
    CHECK_FALSE(found({{OptionId::readonly, "off"}, {OptionId::writable, "on"}}));
    CHECK_FALSE(found({{OptionId::readonly, "on"}, {OptionId::mount_home, "on"}}));
    CHECK_FALSE(found({{OptionId::batch, "on"}}));
}

TEST_CASE("the last value wins, and the later of two opposites", "[spank]") {
    auto got = settings_of({{OptionId::image, "/a"}, {OptionId::image, "/b"}});
    REQUIRE(got);
    CHECK(got->image == "/b");
    CHECK(got->mount_home == Switch::site_default);

    got = settings_of({{OptionId::mount_home, nullptr}, {OptionId::no_mount_home, nullptr}});
    REQUIRE(got);
    CHECK(got->mount_home == Switch::off);
    got = settings_of({{OptionId::no_mount_home, ""}, {OptionId::mount_home, "(null)"}});
    REQUIRE(got);
    CHECK(got->mount_home == Switch::on);
    got = settings_of({{OptionId::no_mount_home, "off"}});
    REQUIRE(got);
    CHECK(got->mount_home == Switch::on);
    got = settings_of({{OptionId::writable, "on"}, {OptionId::readonly, "on"}});
    REQUIRE(got);
    CHECK(got->writable == Switch::off);
    got = settings_of({{OptionId::readonly, "off"}});
    REQUIRE(got);
    CHECK(got->writable == Switch::on);
    got = settings_of({{OptionId::batch, nullptr}});
    REQUIRE(got);
    CHECK(got->batch == Switch::on);
}

TEST_CASE("a bad value is forgotten when a good one follows", "[spank]") {
    const auto got = settings_of({{OptionId::workdir, "relative"}, {OptionId::workdir, "/w"}});
    REQUIRE(got);
    CHECK(got->workdir == "/w");
    CHECK_FALSE(settings_of({{OptionId::workdir, "/w"}, {OptionId::workdir, "relative"}}));
}

TEST_CASE("an image asked for wrongly is still a container asked for", "[spank]") {
    Options options;
    CHECK_FALSE(options.wants_container());
    options.take(OptionId::image, std::string_view(""));
    CHECK(options.wants_container());
    CHECK_FALSE(options.settings());
    options.take(OptionId::image, std::string_view("none"));
    CHECK_FALSE(options.wants_container());
    REQUIRE(options.settings());
    CHECK_FALSE(options.settings()->wants_container());
}

TEST_CASE("values are checked strictly", "[spank]") {
    using base::Code;
    CHECK(error_of(OptionId::image, "") == Code::option_invalid);
    CHECK(error_of(OptionId::image, "  ") == Code::option_invalid);
    CHECK(error_of(OptionId::image, "/a\n/b") == Code::option_invalid);
    CHECK(error_of(OptionId::image, "/a\x7f") == Code::option_invalid);
    CHECK(error_of(OptionId::image, std::string(4096, 'a')) == Code::internal); // fine
    CHECK(error_of(OptionId::image, std::string(4097, 'a')) == Code::option_too_long);
    CHECK(error_of(OptionId::image, std::string(1 << 20, 'a')) == Code::option_too_long);
    CHECK(error_of(OptionId::mounts, "/a:/b,/c:/d:ro+rbind") == Code::internal);
    CHECK(error_of(OptionId::mounts, "./d,../e:/f") == Code::internal);
    CHECK(error_of(OptionId::mounts, "") == Code::option_invalid);
    CHECK(error_of(OptionId::mounts, "/a:/b,,/c:/d") == Code::mount_invalid);
    CHECK(error_of(OptionId::mounts, "/a:") == Code::mount_target_invalid);
    CHECK(error_of(OptionId::mounts, "/a:b") == Code::mount_target_invalid);
    CHECK(error_of(OptionId::mounts, "/a:/proc") == Code::mount_target_invalid);
    CHECK(error_of(OptionId::mounts, ":/b") == Code::mount_invalid);
    CHECK(error_of(OptionId::mounts, "a:/b") == Code::mount_invalid);
    CHECK(error_of(OptionId::mounts, "/a:/b:r0") == Code::mount_invalid);
    CHECK(error_of(OptionId::mounts, "/a:/b:ro:x") == Code::mount_invalid);
    CHECK(error_of(OptionId::workdir, "/w") == Code::internal);
    CHECK(error_of(OptionId::workdir, "w") == Code::option_invalid);
    CHECK(error_of(OptionId::workdir, "") == Code::option_invalid);
    CHECK(error_of(OptionId::environment, "") == Code::option_invalid);
    CHECK(error_of(OptionId::environment, "A,B_2,_c") == Code::internal);
    CHECK(error_of(OptionId::environment, "A=1") == Code::option_invalid);
    CHECK(error_of(OptionId::environment, "2A") == Code::option_invalid);
    CHECK(error_of(OptionId::environment, "A,") == Code::option_invalid);
    CHECK(error_of(OptionId::batch, "perhaps") == Code::option_invalid);
}

TEST_CASE("errors name the option, never repeat a long value, and say what to do", "[spank]") {
    Options options;
    options.take(OptionId::image, std::string(1 << 20, 'x'));
    const auto got = options.settings();
    REQUIRE_FALSE(got);
    const auto line = got.error().one_line();
    CHECK(line.find("--container-image") != std::string::npos);
    CHECK(line.find("1048576 bytes") != std::string::npos);
    CHECK(line.find("hint") != std::string::npos);
    CHECK(line.size() < 300);
}

TEST_CASE("the first of several errors is the one that is reported", "[spank]") {
    Options options;
    options.take(OptionId::workdir, std::string_view("nowhere"));
    options.take(OptionId::image, std::string_view(""));
    const auto got = options.settings();
    REQUIRE_FALSE(got);
    CHECK(got.error().message.find("workdir") != std::string::npos);
}

TEST_CASE("switches understand what people write", "[spank]") {
    for (const auto* yes : {"on", "ON", "yes", "Y", "true", "True", "1"}) {
        CHECK(parse_switch(yes).value_or(false));
    }
    for (const auto* no : {"off", "No", "n", "FALSE", "0"}) {
        CHECK_FALSE(parse_switch(no).value_or(true));
    }
    for (const auto* neither : {"", "2", "onn", " on", "enable"}) {
        CHECK_FALSE(parse_switch(neither));
    }
}

TEST_CASE("settings survive the way to the node", "[spank]") {
    auto settings = full_settings();
    const auto text = encode_settings(settings);
    for (const char c : text) {
        REQUIRE((c > 0x20 && c < 0x7f));
    }
    auto got = decode_settings(text);
    REQUIRE(got);
    CHECK(*got == settings);
    settings.path.clear();
    settings.image_id = std::string(64, 'a');
    got = decode_settings(encode_settings(settings));
    REQUIRE(got);
    CHECK(*got == settings);
    settings.image_store = "/home/me/cache; of mine";
    got = decode_settings(encode_settings(settings));
    REQUIRE(got);
    CHECK(*got == settings);
}

TEST_CASE("a carrier that was written by hand is checked like options", "[spank]") {
    CHECK(decode_settings("path=/a;container-image=x"));
    for (const auto* bad :
         {"", ";", "path", "path=/a", "container-image=x", "path=a;container-image=x",
          "path=/a;container-image=none",
          "path=/a;container-image=", "path=/a;path=/b;container-image=x",
          "path=/a;container-image=x;container-image=y", "path=/a;container-image=x;unknown=1",
          "path=/a;container-image=x;container-workdir=rel", "path=/a%;container-image=x",
          "path=/a%zz;container-image=x", "path=/a%0a;container-image=x",
          "path=/a b;container-image=x", "path=/a%2;container-image=x",
          "path=/a;container-image=x;", "path=/a%00;container-image=x"}) {
        CAPTURE(bad);
        CHECK_FALSE(decode_settings(bad));
    }
    const std::string id(64, 'a');
    CHECK(decode_settings("id=" + id + ";container-image=x"));
    CHECK(decode_settings("id=" + id + ";store=/s;container-image=x"));
    for (const auto& bad :
         {"id=" + id + "a;container-image=x", std::string("id=..;container-image=x"),
          "id=" + id + ";store=s;container-image=x", std::string("store=/s;container-image=x"),
          "id=" + id + ";store=/s;store=/t;container-image=x", std::string("path=/a;store=/s;container-image=x"),
          "id=" + id + ";path=/a;container-image=x", "path=/a;id=" + id + ";container-image=x"}) {
        CAPTURE(bad);
        CHECK_FALSE(decode_settings(bad));
    }
    CHECK_FALSE(decode_settings("path=/a;container-image=" + std::string(5000, 'x')));
    CHECK_FALSE(decode_settings(std::string(1 << 20, 'x')));
}

TEST_CASE("variables are named as Slurm names them", "[spank]") {
    CHECK(slurm_option_variable("container-image") ==
          "_SLURM_SPANK_OPTION_slipway_container_image");
    CHECK(slurm_option_variable("no-pilot-container-mount-home") ==
          "_SLURM_SPANK_OPTION_slipway_no_pilot_container_mount_home");
}
