// SPDX-License-Identifier: Apache-2.0
// A core that reports to the test program which calls reached it.
#include "spank/core.hpp"

#ifndef FAKE_INTERFACE
#define FAKE_INTERFACE slipway::spank::core_interface
#endif

extern "C" void front_test_note(const char* what);

namespace {

int note(const char* what) {
    front_test_note(what);
    return 0;
}
void option(int, const char* argument) {
    note(argument != nullptr ? argument : "option without an argument");
}
void plain_component() {
    note("plain_component");
}
int init_post_opt(spank_handle*, int count, char** arguments) {
    note("init_post_opt");
    return count > 0 ? note(arguments[0]) : 0;
}
int user_init() {
    return note("user_init");
}
int task_init_privileged(spank_handle*) {
    return note("task_init_privileged");
}
int task_init(spank_handle*) {
    return note("task_init");
}
int task_exit(spank_handle*) {
    return note("task_exit");
}
int leave(spank_handle*) {
    return note("exit");
}

} // namespace

extern "C" [[gnu::visibility("default")]] constinit const slipway::spank::CoreCalls slipway_core = {
    FAKE_INTERFACE,       option,    plain_component, init_post_opt, user_init,
    task_init_privileged, task_init, task_exit,       leave,
};
