// SPDX-License-Identifier: Apache-2.0
// The front of the plugin, loaded as Slurm loads it. This program stands in for Slurm: it exports
// the functions of spank.h that the front calls.
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "spank/option_table.hpp"

#include <catch2/catch.hpp>
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

extern "C" {
#include <slurm/spank.h>
}

using namespace slipway;
using namespace slipway::spank;

namespace {

/// What the front sees of Slurm, and what it did to it.
struct Slurm {
    spank_context_t context = S_CTX_LOCAL;
    std::uint32_t step = 0;
    int task = 0;
    std::vector<std::string> job_env;
    bool environment_unreadable = false;
    std::vector<std::string> registered;
    std::vector<std::string> notes; ///< calls that reached the core
    spank_opt_cb_f callback = nullptr;
};
Slurm slurm;

// The constant has another type than the function in some releases.
constexpr auto done = static_cast<spank_err_t>(ESPANK_SUCCESS);

} // namespace

#define EXPORTED extern "C" [[gnu::visibility("default")]]

EXPORTED void front_test_note(const char* what) {
    slurm.notes.emplace_back(what);
}

EXPORTED spank_context_t spank_context(void) {
    return slurm.context;
}

EXPORTED spank_err_t spank_option_register(spank_t, spank_option* option) {
    slurm.registered.emplace_back(option->name);
    slurm.callback = option->cb;
    CHECK(option->has_arg != 0); // a bare option would leak into the environment of tasks
    return done;
}

EXPORTED spank_err_t spank_get_item(spank_t, spank_item_t item, ...) {
    static std::vector<char*> environment;
    std::va_list arguments;
    va_start(arguments, item);
    auto* target = va_arg(arguments, void*);
    va_end(arguments);
    if (slurm.context != S_CTX_REMOTE) {
        return ESPANK_NOT_REMOTE;
    }
    if (item == S_JOB_ENV && slurm.environment_unreadable) {
        return ESPANK_ENV_NOEXIST;
    }
    if (item == S_JOB_STEPID) {
        *static_cast<std::uint32_t*>(target) = slurm.step;
    } else if (item == S_TASK_ID) {
        *static_cast<int*>(target) = slurm.task;
    } else if (item == S_JOB_ENV) {
        environment.clear();
        for (auto& entry : slurm.job_env) {
            environment.push_back(entry.data());
        }
        environment.push_back(nullptr);
        *static_cast<char***>(target) = environment.data();
    } else {
        FAIL("the front asks for item " << item);
    }
    return done;
}

EXPORTED void slurm_error(const char* format, ...) {
    FAIL("the front says " << format);
}

namespace {

using Names = std::vector<std::string>;

/// A fresh copy of the front with this core beside it (or with none).
class Loaded {
  public:
    explicit Loaded(const char* core = FAKE_CORE) {
        slurm = Slurm();
        auto made = base::TempDir::create("front-");
        REQUIRE(made);
        directory_ = std::move(*made);
        namespace fs = std::filesystem;
        fs::copy_file(FRONT, file("spank_slipway.so"));
        if (core != nullptr) {
            fs::copy_file(core, file("spank_slipway_core.so"));
        }
    }
    ~Loaded() {
        if (handle_ != nullptr) {
            ::dlclose(handle_);
        }
    }
    Loaded(const Loaded&) = delete;
    Loaded& operator=(const Loaded&) = delete;

    [[nodiscard]] std::string file(const char* name) const {
        return directory_.path() + "/" + name;
    }

    int call(const char* name, std::vector<std::string> words = {}) {
        if (handle_ == nullptr) {
            handle_ = ::dlopen(file("spank_slipway.so").c_str(), RTLD_LAZY);
            REQUIRE(handle_ != nullptr);
        }
        auto* function = reinterpret_cast<int (*)(spank_t, int, char**)>(::dlsym(handle_, name));
        REQUIRE(function != nullptr);
        std::vector<char*> arguments;
        for (auto& word : words) {
            arguments.push_back(word.data());
        }
        return function(nullptr, static_cast<int>(arguments.size()), arguments.data());
    }
    int init(std::vector<std::string> words = {}) {
        return call("slurm_spank_init", std::move(words));
    }
    int post_opt(std::vector<std::string> words = {}) {
        return call("slurm_spank_init_post_opt", std::move(words));
    }

    /// Exit code and stderr of a process in which the callback ends it, or 99 when it returns.
    std::pair<int, std::string> ends(const char* name) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        const base::UniqueFd reader(ends[0]);
        base::UniqueFd writer(ends[1]);
        auto child = base::Child::fork([&] {
            ::dup2(writer.get(), STDERR_FILENO);
            call(name);
            return 99;
        });
        REQUIRE(child);
        writer.reset();
        auto said = base::read_to_end(reader.get(), 65536);
        REQUIRE(said);
        const auto status = child->wait();
        REQUIRE(status);
        return {base::exit_code_of(*status), *said};
    }

  private:
    base::TempDir directory_;
    void* handle_ = nullptr;
};

/// A variable of this process, for as long as it is in scope.
struct Variable {
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    const char* name_;
};

} // namespace

TEST_CASE("options are registered in srun, sbatch, salloc and slurmstepd only", "[front]") {
    const auto [context, count] = GENERATE(table<spank_context_t, std::size_t>({
        {S_CTX_LOCAL, option_count},
        {S_CTX_ALLOCATOR, option_count},
        {S_CTX_REMOTE, option_count},
        {S_CTX_SLURMD, 0},
        {S_CTX_JOB_SCRIPT, 0},
        {S_CTX_ERROR, option_count}, // it may be slurmstepd
    }));
    Loaded front;
    slurm.context = context;
    CHECK(front.init() == 0);
    CHECK(slurm.registered.size() == count);
}

TEST_CASE("options carry the site's prefix, and a bad one is left out", "[front]") {
    Loaded front;
    CHECK(front.init({"config=/a", "option_prefix=pilot-"}) == 0);
    CHECK(slurm.registered.at(0) == "pilot-container-image");
    CHECK(slurm.registered.at(4) == "no-pilot-container-mount-home");
    const auto* bad =
        GENERATE("option_prefix=-a", "option_prefix=A", "option_prefix=a b",
                 "option_prefix=abcdefghijklmnopqrstu", "option_prefix", "option_prefix=");
    CAPTURE(bad);
    Loaded other;
    CHECK(other.init({bad}) == 0);
    CHECK(slurm.registered.at(0) == "container-image");
}

TEST_CASE("a job without a container never loads the core", "[front]") {
    const auto context = GENERATE(S_CTX_LOCAL, S_CTX_ALLOCATOR, S_CTX_REMOTE, S_CTX_SLURMD);
    Loaded front;
    slurm.context = context;
    slurm.job_env = {"SLURM_JOB_ID=1", "SLIPWAY_STORE=/s", "SLURM_SPANK_OTHER=1", "PATH=/bin"};
    CHECK(front.init() == 0);
    CHECK(front.post_opt() == 0);
    for (const auto* name :
         {"slurm_spank_user_init", "slurm_spank_task_init_privileged", "slurm_spank_task_init",
          "slurm_spank_task_exit", "slurm_spank_exit"}) {
        CHECK(front.call(name) == 0);
    }
    CHECK(slurm.notes.empty());
    CHECK(::dlopen(front.file("spank_slipway_core.so").c_str(), RTLD_NOLOAD | RTLD_NOW) == nullptr);
}

TEST_CASE("an option brings the core, which then hears everything", "[front]") {
    Loaded front;
    slurm.context = S_CTX_REMOTE;
    front.init();
    CHECK(slurm.callback(0, "/a.sif", 1) == 0);
    CHECK(slurm.callback(7, nullptr, 1) == 0);
    CHECK(front.post_opt({"batch=host"}) == 0);
    for (const auto* name :
         {"slurm_spank_user_init", "slurm_spank_task_init_privileged", "slurm_spank_task_init",
          "slurm_spank_task_exit", "slurm_spank_exit"}) {
        CHECK(front.call(name) == 0);
    }
    CHECK(slurm.notes == Names{"/a.sif", "option without an argument", "init_post_opt",
                               "batch=host", "user_init", "task_init_privileged", "task_init",
                               "task_exit", "exit"});
}

TEST_CASE("variables bring the core", "[front]") {
    const auto [context, name] = GENERATE(table<spank_context_t, const char*>({
        {S_CTX_LOCAL, "SLIPWAY_CONTAINER_IMAGE"},
        {S_CTX_ALLOCATOR, "PYXIS_CONTAINER_IMAGE"},
        {S_CTX_LOCAL, "SLURM_SLIPWAY_SETTINGS"},
        {S_CTX_REMOTE, "SLURM_SLIPWAY_SETTINGS"},
        {S_CTX_REMOTE, "_SLURM_SPANK_OPTION_slipway_container_image"},
        {S_CTX_REMOTE, "SLURM_SPANK__SLURM_SPANK_OPTION_slipway_pilot_container_image"},
    }));
    CAPTURE(context, name);
    Loaded front;
    slurm.context = context;
    slurm.job_env = {"PATH=/bin"};
    if (context == S_CTX_REMOTE) {
        slurm.job_env.push_back(std::string(name) + "=x");
    }
    const Variable variable(context == S_CTX_REMOTE ? "UNRELATED" : name, "x");
    front.init();
    CHECK(front.post_opt() == 0);
    CHECK(slurm.notes == Names{"init_post_opt"});
}

TEST_CASE("what cannot be found out counts as a trace", "[front]") {
    const bool known = GENERATE(true, false);
    Loaded front(nullptr);
    slurm.context = known ? S_CTX_REMOTE : S_CTX_ERROR;
    slurm.environment_unreadable = true;
    CHECK(front.init() == 0);
    CHECK(front.post_opt() == 0);
    CHECK(front.ends("slurm_spank_task_init").first == set_up_failed);
    Loaded whole;
    slurm.context = known ? S_CTX_REMOTE : S_CTX_ERROR;
    slurm.environment_unreadable = true;
    CHECK(whole.post_opt() == 0);
    CHECK(slurm.notes == Names{"init_post_opt"});
}

TEST_CASE("the extern step is left alone", "[front]") {
    Loaded front(nullptr);
    slurm.context = S_CTX_REMOTE;
    slurm.step = extern_step;
    slurm.job_env = {"SLURM_SLIPWAY_SETTINGS=x"};
    CHECK(front.init() == 0);
    CHECK(slurm.registered.empty());
    CHECK(front.post_opt() == 0);
    CHECK(front.call("slurm_spank_task_init") == 0);
    CHECK(front.call("slurm_spank_exit") == 0);
}

TEST_CASE("the core hears of a component that went by without it", "[front]") {
    Loaded front;
    front.init();
    front.post_opt();
    slurm.callback(0, "/a.sif", 0);
    front.post_opt();
    front.post_opt();
    CHECK(slurm.notes == Names{"/a.sif", "plain_component", "init_post_opt", "init_post_opt"});
}

TEST_CASE("without its core nothing is submitted that asks for a container", "[front]") {
    const auto context = GENERATE(S_CTX_LOCAL, S_CTX_ALLOCATOR);
    Loaded front(nullptr);
    slurm.context = context;
    front.init();
    CHECK(front.post_opt() == 0); // and what does not ask is no worse off
    CHECK(slurm.callback(0, "/a.sif", 0) == 0);
    const auto [code, said] = front.ends("slurm_spank_init_post_opt");
    CHECK(code == set_up_failed);
    CHECK_THAT(said, Catch::StartsWith("slipway: error: plugin-misconfigured: "));
    CHECK_THAT(said, Catch::Contains(front.file("spank_slipway_core.so")));
    CHECK_THAT(said, Catch::EndsWith("both from the same build)\n"));
}

TEST_CASE("without its core the tasks of a container end, and slurmstepd does not", "[front]") {
    // No file, no library, a library that is no core, and a core of another release.
    const auto* core = GENERATE(as<const char*>{}, nullptr, "/etc/passwd", FRONT, OTHER_CORE);
    Loaded front(core);
    slurm.context = S_CTX_REMOTE;
    slurm.job_env = {"SLURM_SLIPWAY_SETTINGS=x"};
    front.init();
    CHECK(front.post_opt() == 0);
    CHECK(front.call("slurm_spank_user_init") == 0);
    CHECK(front.call("slurm_spank_task_init_privileged") == 0);
    const auto [code, said] = front.ends("slurm_spank_task_init");
    CHECK(code == set_up_failed);
    CHECK_THAT(said, Catch::StartsWith("slipway: error: plugin-misconfigured: "));
    slurm.task = 1;
    CHECK(front.ends("slurm_spank_task_init") == std::pair<int, std::string>(set_up_failed, ""));
    CHECK(front.call("slurm_spank_task_exit") == 0);
    CHECK(front.call("slurm_spank_exit") == 0);
    CHECK(slurm.notes.empty());
}
