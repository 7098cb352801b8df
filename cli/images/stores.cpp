// SPDX-License-Identifier: Apache-2.0
// The verbs images and cache: what is in the stores.
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "cli/images/command.hpp"
#include "cli/messages.hpp"

#include <array>
#include <cerrno>
#include <ctime>

#include <unistd.h>

namespace slipway::cli::images {
namespace {

using base::Code;
using store::Store;
namespace json = base::json;

constexpr std::size_t short_id = 12;

std::string time_text(std::int64_t seconds) {
    const time_t when = seconds;
    tm parts{};
    std::array<char, 32> text{};
    ::localtime_r(&when, &parts);
    return std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts) != 0 ? text.data()
                                                                                  : "?";
}

/// The user's own store and those that they may read; stores that are not there yet are empty. The
/// site's store is not the user's to mend: what is wrong with it is only said.
base::Result<std::vector<Store>> open_all(const Site& site) {
    std::vector<Store> stores;
    auto options = site.others;
    options.push_back(site.own);
    for (auto& each : options) {
        each.access = store::Access::read_only;
        auto opened = Store::open(each);
        if (opened) {
            stores.push_back(std::move(*opened));
        } else if (opened.error().sys_errno == ENOENT) {
            continue;
        } else if (each.path == site.own.path) {
            return base::Unexpected(std::move(opened.error()));
        } else {
            base::log(base::LogLevel::warning, opened.error().one_line());
        }
    }
    return stores;
}

json::OrderedValue json_row(const Store& store, const store::StoredImage& image,
                            const store::Provenance& what) {
    return {{"image", image.id},
            {"path", image.path},
            {"store", store.options().path},
            {"size", image.size},
            {"reference", what.reference},
            {"digest", what.manifest_digest},
            {"platform", what.platform},
            {"published", image.published},
            {"pinned", image.pinned},
            {"granted_until", image.granted_until}};
}

std::string text_line(std::string_view image, std::string_view size, std::string_view staged,
                      std::string_view state, std::string_view store, std::string_view reference) {
    return fmt::format("{:<{}}  {:>10}  {:<16}  {:<8}  {:<5}  {}\n", image, short_id, size, staged, state,
                       store, reference);
}

std::string text_row(std::string_view store, const store::StoredImage& image,
                     const store::Provenance& what) {
    const std::string_view state = image.pinned                               ? "pinned"
                                   : image.granted_until > ::time(nullptr) ? "granted"
                                                                           : "";
    return text_line(image.id.substr(0, short_id), base::size_text(image.size),
                     time_text(image.published), state, store, base::printable(what.reference));
}

base::Result<int> list_images(const Session& session, const Site& site,
                              const std::vector<Store>& stores) {
    auto rows = json::OrderedValue::array();
    auto text = text_line("IMAGE", "SIZE", "STAGED", "STATE", "STORE", "REFERENCE");
    for (const auto& store : stores) {
        const auto* const whose = store.options().path == site.config->store.path ? "site" : "own";
        TRY_ASSIGN(const auto images, store.list());
        for (const auto& image : images) {
            const auto what = store.provenance(image.id).value_or(store::Provenance());
            rows.push_back(json_row(store, image, what));
            text += text_row(whose, image, what);
        }
    }
    return printed(session.arguments.flag("json") ? json::compact(rows) + "\n" : text);
}

/// The one image in `store` whose id begins with `prefix` or whose reference is that.
base::Result<store::ImageId> find_one(const Store& store, const std::string& prefix) {
    TRY_ASSIGN(const auto images, store.list());
    std::vector<store::ImageId> found;
    for (const auto& image : images) {
        const auto what = store.provenance(image.id);
        if ((prefix.size() >= 4 && image.id.starts_with(prefix)) ||
            (what && what->reference == prefix)) {
            found.push_back(image.id);
        }
    }
    if (found.size() == 1) {
        return found.front();
    }
    return base::fail(Code::not_staged,
                      found.empty() ? "no image " + base::in_quotes(prefix) + " in the store"
                                    : base::in_quotes(prefix) + " fits several images",
                      "`slipway images` lists them; name one by its first characters");
}

} // namespace

base::Result<int> run_images(Session& session) {
    TRY_ASSIGN(const auto site, find_site(session));
    const auto& words = session.arguments.words();
    if (words.empty() || words.front() == "list") {
        TRY_ASSIGN(const auto stores, open_all(site));
        return list_images(session, site, stores);
    }
    const auto& what = words.front();
    TRY_ASSIGN(const auto store, Store::open(site.own));
    for (std::size_t i = 1; i < words.size(); ++i) {
        TRY_ASSIGN(const auto id, find_one(store, words[i]));
        TRY(what == "pin"     ? store.pin(id)
            : what == "unpin" ? store.unpin(id)
                              : store.remove(id, session.arguments.flag("force")));
    }
    return 0;
}

namespace {

base::Result<int> cache_list(const Session& session, const Site& site, const Store& store) {
    TRY_ASSIGN(const auto images, store.list());
    std::uint64_t bytes = 0;
    for (const auto& image : images) {
        bytes += image.size;
    }
    TRY_ASSIGN(const auto used, store.usage());
    if (session.arguments.flag("json")) {
        return printed(json::compact(json::OrderedValue{{"path", store.options().path},
                                                     {"images", images.size()},
                                                     {"image_bytes", bytes},
                                                     {"used_bytes", used}}) +
                    "\n");
    }
    if (session.arguments.flag("verbose")) {
        std::vector<Store> one{store};
        TRY(list_images(session, site, one));
    }
    return printed(fmt::format("There are {} image(s) using {} in {}\nTotal space used: {}\n",
                            images.size(), base::size_text(bytes),
                            base::printable(store.options().path), base::size_text(used)));
}

/// What `cache clean` is to do with each image of the store.
struct Cleaning {
    std::vector<store::StoredImage> chosen;
    std::size_t granted = 0; ///< these two stay
    std::size_t pinned = 0;

    void keep(store::Protection why) { ++(why == store::Protection::pinned ? pinned : granted); }
    /// "" when nothing stays.
    [[nodiscard]] std::string kept() const {
        if (granted + pinned == 0) {
            return {};
        }
        std::vector<std::string> why;
        if (granted != 0) {
            why.push_back(fmt::format("{} granted (jobs may use them)", granted));
        }
        if (pinned != 0) {
            why.push_back(fmt::format("{} pinned", pinned));
        }
        return fmt::format("{} image(s) kept: {}; --protected removes these, too",
                           granted + pinned, base::joined(why, ", "));
    }
};

/// Images of at least `age` seconds. Granted and pinned ones stay unless they are wanted, too.
Cleaning choose(const std::vector<store::StoredImage>& images, std::int64_t age, bool all) {
    Cleaning cleaning;
    const auto now = ::time(nullptr);
    for (const auto& image : images) {
        if (now - image.published < age) {
            continue;
        }
        const auto protection = store::protection_of(image, now);
        if (all || protection == store::Protection::none) {
            cleaning.chosen.push_back(image);
        } else {
            cleaning.keep(protection);
        }
    }
    return cleaning;
}

/// Removes what was chosen; what somebody has asked for meanwhile stays, too. How many are gone.
base::Result<std::size_t> remove_chosen(const Store& store, Cleaning& cleaning, bool all) {
    std::size_t removed = 0;
    for (const auto& image : cleaning.chosen) {
        const auto gone = store.remove(image.id, all);
        if (gone) {
            ++removed;
        } else if (gone.error().code == Code::option_conflict) {
            cleaning.keep(store::Protection::granted);
        } else if (gone.error().code != Code::not_staged) { // somebody else was faster
            return base::Unexpected(gone.error());
        }
    }
    return removed;
}

base::Result<int> cache_clean(const Session& session, const Store& store) {
    std::int64_t age = 0;
    if (const auto days = session.arguments.text("days")) {
        TRY_ASSIGN(const auto number, base::parse_u64(*days, most_days));
        age = static_cast<std::int64_t>(number) * 86400;
    }
    const bool all = session.arguments.flag("protected");
    TRY_ASSIGN(const auto images, store.list());
    auto cleaning = choose(images, age, all);
    if (session.arguments.flag("dry-run")) {
        std::string paths;
        for (const auto& image : cleaning.chosen) {
            paths += base::printable(image.path) + '\n';
        }
        if (const auto kept = cleaning.kept(); !kept.empty()) {
            base::log(base::LogLevel::info, kept);
        }
        return printed(paths);
    }
    const auto question = fmt::format("Remove {} image(s) from {}? [y/N]", cleaning.chosen.size(),
                                      store.options().path);
    if (!cleaning.chosen.empty() && !session.arguments.flag("force") && !confirmed(question)) {
        return base::fail(Code::usage, "nothing was removed", "say yes, or use --force");
    }
    TRY_ASSIGN(const auto removed, remove_chosen(store, cleaning, all));
    TRY(store.sweep());
    TRY_ASSIGN(const auto others, store.foreign());
    std::string text;
    for (const auto& each : others) {
        text += fmt::format("{}: {}\n", base::printable(each.path), store::left_alone(each));
    }
    text += fmt::format("{} image(s) removed\n", removed);
    if (const auto kept = cleaning.kept(); !kept.empty()) {
        text += kept + '\n';
    }
    return printed(text);
}

base::Result<int> cache_fsck(const Session& session, const Store& store) {
    TRY_ASSIGN(const auto problems, store.fsck(session.arguments.flag("repair"), true));
    std::size_t damage = 0;
    bool left = false;
    auto rows = json::OrderedValue::array();
    std::string text;
    for (const auto& problem : problems) {
        damage += problem.foreign ? 0 : 1;
        left = left || !(problem.repaired || problem.foreign);
        rows.push_back({{"path", problem.path},
                        {"what", problem.what},
                        {"repaired", problem.repaired},
                        {"foreign", problem.foreign}});
        text += fmt::format("{}: {}{}\n", base::printable(problem.path),
                            base::printable(problem.what), problem.repaired ? " (repaired)" : "");
    }
    text += fmt::format("{} problem(s)\n", damage);
    TRY(printed(session.arguments.flag("json") ? json::compact(rows) + "\n" : text));
    return left ? exit_found_something : 0;
}

} // namespace

base::Result<int> run_cache(Session& session) {
    const auto& what = session.arguments.words().front();
    TRY_ASSIGN(const auto site, find_site(session));
    TRY_ASSIGN(const auto store, Store::open(site.own));
    return what == "list"    ? cache_list(session, site, store)
           : what == "clean" ? cache_clean(session, store)
                             : cache_fsck(session, store);
}

} // namespace slipway::cli::images
