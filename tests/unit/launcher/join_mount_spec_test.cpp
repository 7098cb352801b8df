// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/mount_spec.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace slipway;
using namespace slipway::launcher::join;

namespace {

struct Expected {
    std::string source;
    std::string target;
    bool readonly = false;
};

struct Good {
    MountSyntax syntax;
    std::string text;
    std::vector<Expected> mounts;
};

struct Bad {
    MountSyntax syntax;
    std::string text;
    base::Code code;
    std::string words; ///< part of the error line
};

constexpr auto pyxis = MountSyntax::pyxis;
constexpr auto bind = MountSyntax::bind;
constexpr auto csv = MountSyntax::mount_csv;

} // namespace

TEST_CASE("mounts: accepted spellings") {
    const auto good = GENERATE(values<Good>({
        {pyxis, "/a:/b", {{"/a", "/b"}}},
        {pyxis, "/a", {{"/a", "/a"}}},
        {pyxis, "/a:/b:ro", {{"/a", "/b", true}}},
        {pyxis, "/a:/b:ro+rbind+x-create=auto", {{"/a", "/b", true}}},
        {pyxis, "/a:/b,/c:/d:ro", {{"/a", "/b"}, {"/c", "/d", true}}},
        {pyxis, "./x:/b", {{"/work/./x", "/b"}}},
        {pyxis, "./x", {{"/work/./x", "/work/x"}}},
        {pyxis, ".", {{"/work/.", "/work"}}},
        {pyxis, "../x,/b", {{"/work/../x", "/x"}, {"/b", "/b"}}},
        {pyxis, "tmpfs:/scratch", {{"", "/scratch"}}},
        {pyxis, "/a:/b//c/./d/", {{"/a", "/b/c/d"}}},
        {bind, "/a", {{"/a", "/a"}}},
        {bind, "/a:/b", {{"/a", "/b"}}},
        {bind, "/a:/b:ro", {{"/a", "/b", true}}},
        {bind, "/a:/b:ro,ro", {{"/a", "/b", true}}},
        {bind, "/a:/b:ro,/c:/d", {{"/a", "/b", true}, {"/c", "/d"}}},
        {bind, "/a,/b", {{"/a", "/a"}, {"/b", "/b"}}},
        {bind, "/a,", {{"/a", "/a"}}},
        {bind, "data:/b", {{"/work/data", "/b"}}},
        {bind, "data", {{"/work/data", "/work/data"}}},
        {bind, "/a\\,b:/c", {{"/a,b", "/c"}}},
        {bind, "/a\\:b:/c:ro", {{"/a:b", "/c", true}}},
        {bind, "/a^b:/c", {{"/a^b", "/c"}}},
        {bind, "/a/../b:/c", {{"/a/../b", "/c"}}},
        {csv, "type=bind,source=/a,destination=/b", {{"/a", "/b"}}},
        {csv, "src=/a,dst=/b,ro", {{"/a", "/b", true}}},
        {csv, "source=/a,target=/b,readonly", {{"/a", "/b", true}}},
        {csv, "\"source=/a,x\",dst=/b", {{"/a,x", "/b"}}},
        {csv, "source=/a,\"dst=/b,\"\"q\"\"\"", {{"/a", "/b,\"q\""}}},
        {csv, "src=/a,dst=/b\nsrc=/c,dst=/d", {{"/a", "/b"}, {"/c", "/d"}}},
    }));
    CAPTURE(good.text);
    const auto parsed = parse_mounts({good.syntax, good.text}, "/work");
    REQUIRE(parsed);
    REQUIRE(parsed->size() == good.mounts.size());
    for (std::size_t i = 0; i < good.mounts.size(); ++i) {
        CHECK((*parsed)[i].source == good.mounts[i].source);
        CHECK((*parsed)[i].target == good.mounts[i].target);
        CHECK((*parsed)[i].readonly == good.mounts[i].readonly);
        CHECK(((*parsed)[i].kind == MountSpec::Kind::tmpfs) == good.mounts[i].source.empty());
    }
}

TEST_CASE("mounts: refused spellings") {
    const auto bad = GENERATE(values<Bad>({
        {pyxis, "", base::Code::mount_invalid, "empty"},
        {pyxis, ":/b", base::Code::mount_invalid, "source is empty"},
        {pyxis, "data:/b", base::Code::mount_invalid, "not a path"},
        {pyxis, "~/x:/b", base::Code::mount_invalid, "$HOME"},
        {pyxis, "/a:/b:ro:x", base::Code::mount_invalid, "three fields"},
        {pyxis, "/a:/b:r0", base::Code::mount_invalid, "did you mean 'ro'"},
        {pyxis, "/a:/b:suid", base::Code::mount_invalid, "not a valid bind option"},
        {pyxis, "/a:/b:ro+rw", base::Code::mount_invalid, "ro and rw exclude each other"},
        {pyxis, "/a:/b:slave+private", base::Code::mount_invalid, "slave and private exclude"},
        {pyxis, "/a:/b:x-create=dir+x-create=file", base::Code::mount_invalid, "exclude each other"},
        {pyxis, "/a:/b,,/c:/d", base::Code::mount_invalid, "empty entry"},
        {pyxis, "tmpfs", base::Code::mount_invalid, "needs a place"},
        {pyxis, "umount:/b", base::Code::unsupported, "not supported"},
        {pyxis, "..", base::Code::mount_target_invalid, "hide the whole container"},
        {pyxis, "/a:b", base::Code::mount_target_invalid, "absolute path"},
        {pyxis, "/a:", base::Code::mount_target_invalid, "absolute path"},
        {pyxis, "/a:/b/../c", base::Code::mount_target_invalid, "'..'"},
        {pyxis, "/a:/", base::Code::mount_target_invalid, "hide the whole container"},
        {pyxis, "/a://./", base::Code::mount_target_invalid, "hide the whole container"},
        {pyxis, "/a:/" + std::string(5000, 'b'), base::Code::mount_target_invalid,
         "is longer than"},
        {pyxis, "/a:/proc", base::Code::mount_target_invalid, "system's own"},
        {pyxis, "/a:/proc/self", base::Code::mount_target_invalid, "system's own"},
        {pyxis, "/a:/sys", base::Code::mount_target_invalid, "system's own"},
        {pyxis, "/a:/dev/", base::Code::mount_target_invalid, "system's own"},
        {pyxis, std::string("/a:/b\x01", 6), base::Code::mount_invalid, "control characters"},
        {bind, "", base::Code::mount_invalid, "empty"},
        {bind, ":/b", base::Code::mount_invalid, "source is empty"},
        {bind, ",/a", base::Code::mount_invalid, "source is empty"},
        {bind, "/a:/b:xx", base::Code::mount_invalid, "'xx' is not a valid bind option"},
        {bind, "/a:/b:rw,ro", base::Code::mount_invalid, "rw and ro exclude each other"},
        {bind, "/a:/b:ro:x", base::Code::mount_invalid, "three fields"},
        {bind, "/a:b", base::Code::mount_target_invalid, "must be an absolute path"},
        {bind, "/a:/b:image-src=/x", base::Code::unsupported, "image file"},
        {bind, "/a:/b:id=4", base::Code::unsupported, "image file"},
        {csv, "type=potato,source=/a,dst=/b", base::Code::mount_invalid,
         "only 'bind' is supported"},
        {csv, "source=/a", base::Code::mount_invalid, "no destination"},
        {csv, "dst=/a", base::Code::mount_invalid, "no source"},
        {csv, "source=,dst=/b", base::Code::mount_invalid, "source is empty"},
        {csv, "source=/a,dst=", base::Code::mount_invalid, "destination is empty"},
        {csv, "source=/a,dst=/b,ro=1", base::Code::mount_invalid, "takes no value"},
        {csv, "sorce=/a,dst=/b", base::Code::mount_invalid, "did you mean 'source'"},
        {csv, "source=/a,dst=/b,bind-propagation=shared", base::Code::mount_invalid, "unknown key"},
        {csv, "\"source=/a,dst=/b", base::Code::mount_invalid, "not closed"},
        {csv, "source=/\"a\",dst=/b", base::Code::mount_invalid, "double quote inside"},
        {csv, "source=/a,dst=/b,image-src=/x", base::Code::unsupported, "image file"},
    }));
    CAPTURE(bad.text);
    const auto parsed = parse_mounts({bad.syntax, bad.text}, "/work");
    REQUIRE_FALSE(parsed);
    CHECK(base::code_name(parsed.error().code) == base::code_name(bad.code));
    CHECK_THAT(parsed.error().one_line(), Catch::Contains(bad.words));
    CHECK_FALSE(parsed.error().hint.empty());
}

TEST_CASE("mounts: a message quotes the one wrong mount, not all of them") {
    const auto message = [](MountSyntax syntax, const std::string& text) {
        const auto parsed = parse_mounts({syntax, text}, "/work");
        REQUIRE_FALSE(parsed);
        return parsed.error().message;
    };
    CHECK_THAT(message(pyxis, "/one:/1,/two:/2:r0,/three:/3"), Catch::StartsWith("mount '/two:/2:r0': "));
    CHECK_THAT(message(bind, "/one:/1,/two:/2:ro,rw,/three:/3"), Catch::StartsWith("mount '/two:/2:ro,rw': "));
    CHECK_THAT(message(bind, "/o\\,ne,/two:2"), Catch::StartsWith("mount '/two:2': "));
    CHECK_THAT(message(bind, "/one:/1:ro,/two:/2:ro:x"), Catch::StartsWith("mount '/two:/2:ro': "));
    CHECK_THAT(message(csv, "src=/one,dst=/1\nsrc=/two,dts=/2\nsrc=/three,dst=/3"),
               Catch::StartsWith("mount 'src=/two,dts=/2': "));
    const auto parsed = parse_mounts({bind, "/one,/t\\:wo:/2:ro,/three:/3"}, "/work");
    REQUIRE(parsed);
    CHECK(parsed->at(0).written == "/one");
    CHECK(parsed->at(1).written == "/t\\:wo:/2:ro");
    CHECK(parsed->at(2).written == "/three:/3");
}

TEST_CASE("mounts: the number in one argument is limited") {
    std::string text = "/a";
    for (int i = 0; i < 300; ++i) {
        text += ",/a";
    }
    const auto parsed = parse_mounts({MountSyntax::bind, text}, "/");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == base::Code::limit_exceeded);
}

TEST_CASE("mounts: flags beyond ro") {
    const auto parsed = parse_mounts({MountSyntax::pyxis, "/a:/b:noexec+rprivate+nofail"}, "/");
    REQUIRE(parsed);
    CHECK(parsed->front().noexec);
    CHECK(parsed->front().private_propagation);
    CHECK(parsed->front().optional);
}

TEST_CASE("mounts: without a directory, relative sources stay as they are") {
    for (const auto syntax : {pyxis, bind}) {
        const auto parsed = parse_mounts({syntax, "./x,./y:/b"}, "");
        REQUIRE(parsed);
        CHECK(parsed->at(0).source == "./x");
        CHECK(parsed->at(0).target.empty());
        CHECK(parsed->at(1).source == "./y");
        CHECK(parsed->at(1).target == "/b");
        CHECK_FALSE(parse_mounts({syntax, "./x:b"}, ""));
    }
}

TEST_CASE("mounts: absolute spelling for a reader elsewhere") {
    CHECK(absolute_mounts("/a:/b:ro,tmpfs:/t", "/w").value_or("") == "/a:/b:ro,tmpfs:/t");
    CHECK(absolute_mounts("./d", "/w").value_or("") == "/w/./d:/w/d");
    CHECK(absolute_mounts("/a,../d:/b:ro+noexec", "/w").value_or("") == "/a,/w/../d:/b:ro+noexec");
    CHECK_FALSE(absolute_mounts("./d", "")); // the current directory is gone
    CHECK_FALSE(absolute_mounts("./d:/b", "/w:x"));
    CHECK_FALSE(absolute_mounts("./d", "/w,x"));
    CHECK(absolute_mounts("/a:/b", "/w:x").value_or("") == "/a:/b");
    CHECK_FALSE(absolute_mounts("", "/w"));
    CHECK_FALSE(absolute_mounts("/a:b", "/w"));
    CHECK_FALSE(absolute_mounts("/a,,/b", "/w"));
    std::string many = "/a";
    for (int i = 0; i < 300; ++i) {
        many += ",/a";
    }
    CHECK_FALSE(absolute_mounts(many, "/w"));
}

TEST_CASE("overlays are written as a path and perhaps :ro", "[join]") {
    const auto of = [](const std::string& text) {
        const auto overlay = parse_overlay(text);
        REQUIRE(overlay);
        return *overlay;
    };
    CHECK(of("/a/b") == OverlayRequest{"/a/b", false});
    CHECK(of("b.sqsh:ro") == OverlayRequest{"b.sqsh", true});
    CHECK(of("/a:rw") == OverlayRequest{"/a", false});
    CHECK(of("/a:b") == OverlayRequest{"/a:b", false});
    CHECK(of("/a:ro:ro") == OverlayRequest{"/a:ro", true});
    for (const char* text : {"", ":ro", ":rw"}) {
        CHECK(parse_overlay(text).error().code == base::Code::usage);
    }
}
