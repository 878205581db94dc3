/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/ctl.h"
#include "tests/support/launcher.h"
#include "tests/support/terminal.h"

G_BEGIN_DECLS

/**
 * TestGroup:
 * @sandbox: a sandbox of its own
 * @config: path of a configuration of eight machines `group-N`, with the built-in guest
 */
typedef struct {
    TestSandbox *sandbox;
    char *config;
} TestGroup;

/** test_group_new: @more: further members of cvd.json, each followed by a comma; nothing is started
 * yet */
TestGroup *test_group_new(const char *more);
/** test_group_new_gated: the same, of machines that each wait in their start for
 * test_group_open_gate() */
TestGroup *test_group_new_gated(void);
/** test_group_open_gate: @lines: one for each whose start is to go on, if it is empty, or to fail
 */
void test_group_open_gate(const TestGroup *group, const char *lines);
void test_group_free(TestGroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestGroup, test_group_free)

/** test_group_make_up: @arguments: %NULL at the end. Returns: (transfer full) (element-type utf8):
 * the command line of cvd-up for it, %NULL at the end; it does not own its words */
GPtrArray *test_group_make_up(const TestGroup *group, const char *const *arguments);
/** test_group_up: starts cvd-up on it. @arguments: its further ones, %NULL at the end */
TestProcess *test_group_up(const TestGroup *group, const char *const *arguments);
/** test_group_up_on_terminal: the same, on a terminal of 60 columns */
TestTerminal *test_group_up_on_terminal(const TestGroup *group, const char *const *arguments);
/** test_group_finish: waits for the end of cvd-up or cvd-ctl, with that exit status and nothing on
 * stdout. Returns: (transfer full): stderr, with `TIME` for the time that it took */
char *test_group_finish(TestProcess *take_process, int status);

/** test_group_name: Returns: (transfer full): of the machine */
char *test_group_name(guint index);
/** test_group_wait: waits until the machine is in that state */
void test_group_wait(const TestGroup *group, guint index, const char *state);
/** test_group_find_launcher: Returns: the launcher of one that runs */
pid_t test_group_find_launcher(const TestGroup *group, guint index);

G_END_DECLS
