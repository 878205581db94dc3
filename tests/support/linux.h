/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"
#include "tests/support/region.h"

G_BEGIN_DECLS

/** TEST_LINUX_NAME: the instance's name */
#define TEST_LINUX_NAME "linux"

/** TEST_LINUX_NO_DELAY: for tests that restart the VM */
#define TEST_LINUX_NO_DELAY "lifecycle.restart_delay_ms=0"

/**
 * TestLinux:
 * @sandbox: where
 * @launcher: cvd-launch
 * @console: cvd-ctl, attached to the guest's console for as long as the instance lives
 * @input: what is written there is typed on that console
 * @client_socket: path
 *
 * Debian's kernel with the agent, as conf/examples/linux.json has it.
 */
typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    TestProcess *console;
    int input;
    char *client_socket;
} TestLinux;

/** test_linux_why_not: Returns: (transfer full) (nullable): why there is no guest with the agent as
 * it was built */
char *test_linux_why_not(void);
/** test_linux_add: as test_add(), of a test that is skipped where there is no Linux guest */
void test_linux_add(const char *path, gconstpointer data, GTestDataFunc test);

/** test_linux_start: @...: values for `--set`, %NULL at the end; returns once the VM runs */
TestLinux *test_linux_start(const char *set, ...) G_GNUC_NULL_TERMINATED;
/** test_linux_start_with: the same with an array that ends with %NULL */
TestLinux *test_linux_start_with(const char *const *sets);
/** test_linux_boot: the same as test_linux_start(), and waits until the agent is ready */
TestLinux *test_linux_boot(const char *set, ...) G_GNUC_NULL_TERMINATED;

/**
 * test_linux_boot_config:
 * @take_sandbox: where it lives; consumed
 * @config: path of another configuration than linux.json
 * @set: and further values for `--set`, %NULL at the end
 */
TestLinux *test_linux_boot_config(TestSandbox *take_sandbox, const char *config, const char *set,
                                  ...) G_GNUC_NULL_TERMINATED;

/** test_linux_wait_ready: waits until the agent has said @n times that it is ready */
void test_linux_wait_ready(TestLinux *vm, guint n);
/** test_linux_wait: waits until @text stands in a whole line of the console, for the @n-th time */
void test_linux_wait(TestLinux *vm, const char *text, guint n);
/** test_linux_type: types a line */
void test_linux_type(TestLinux *vm, const char *line);
/** test_linux_command: types a line and waits for an answer with @expected in it */
void test_linux_command(TestLinux *vm, const char *line, const char *expected);
/** test_linux_shell: has the guest's shell run a command, which must succeed */
void test_linux_shell(TestLinux *vm, const char *command);

/** test_linux_ctl: has cvd-ctl carry out a verb, which must succeed; @argument: (nullable) */
void test_linux_ctl(TestLinux *vm, const char *verb, const char *argument);

/** test_linux_attach: Returns: (transfer full): the region, attached */
TestRegion *test_linux_attach(const TestLinux *vm, const char *region);
/** test_linux_ping: attaches, pings once, has a bare ring answered, and closes */
void test_linux_ping(const TestLinux *vm, const char *region);

/** test_linux_end: waits for the launcher's end and compares the exit status and what is left */
void test_linux_end(TestLinux *vm, int status);
/** test_linux_stop: asks for the power button, and expects that the guest obeys */
void test_linux_stop(TestLinux *vm);

void test_linux_free(TestLinux *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestLinux, test_linux_free)

G_END_DECLS
