/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/**
 * test_launch:
 * @sandbox: where
 * @name: the instance's name
 * @...: further arguments, %NULL at the end
 *
 * Starts cvd-launch on the project's own `conf/cvd.json`, with TCG.
 */
TestProcess *test_launch(const TestSandbox *sandbox, const char *name, ...) G_GNUC_NULL_TERMINATED;

/** test_launch_with: the same with an array of further arguments, and something done first */
TestProcess *test_launch_with(const TestSandbox *sandbox, const char *name, const char *const *args,
                              TestProcessSetup setup, gconstpointer data);

/** test_launcher_path: Returns: (transfer none): the program under test */
const char *test_launcher_path(void);

/**
 * test_launch_config:
 *
 * Starts cvd-launch on another configuration file, with just the arguments given.
 */
TestProcess *test_launch_config(const TestSandbox *sandbox, const char *config,
                                ...) G_GNUC_NULL_TERMINATED;

/**
 * test_write_config:
 * @n_regions: how many regions it has, as test_layout_text() has them
 *
 * Returns: (transfer full): the path of a new configuration file, of an instance `cvd-1`
 */
char *test_write_config(const TestSandbox *sandbox, guint n_regions);
/** test_write_layout: Returns: (transfer full): the --set value for test_layout_text() in a file,
 * as the kernel limits the length of an argument */
char *test_write_layout(const TestSandbox *sandbox, guint n_regions);

/**
 * test_skip_without_fds:
 *
 * Returns: whether the test was skipped, as the hard limit of descriptors is too low for @n_regions
 */
gboolean test_skip_without_fds(guint n_regions);

/** test_launcher_wait_running: waits for the line that says so */
void test_launcher_wait_running(TestProcess *launcher);
/** test_launcher_wait_guest: waits until the guest has said @n times that it serves */
void test_launcher_wait_guest(const TestSandbox *sandbox, const char *name, guint n);
/** test_launcher_find_qemu: Returns: the pid of the launcher's QEMU; fails the test without one */
pid_t test_launcher_find_qemu(const TestProcess *launcher);
/** test_launcher_assert_exit: waits for the end and compares the exit status */
void test_launcher_assert_exit(TestProcess *launcher, int expected);
/** test_launcher_stop: sends @number and waits for the end, with exit status 0 */
void test_launcher_stop(TestProcess *launcher, int number);
/** test_launcher_stop_clean: the same; and nothing is left in the sandbox */
void test_launcher_stop_clean(TestProcess *launcher, int number, const TestSandbox *sandbox);
/** test_launcher_assert_err: fails the test unless stderr has @text in it (case-insensitively) */
void test_launcher_assert_err(const TestProcess *launcher, const char *text);

/** test_monitor_argument: Returns: (transfer full): the --set value that gives QEMU a second QMP */
char *test_monitor_argument(const TestSandbox *sandbox);

/** TestMonitor: the test's own QMP connection to a QEMU started with test_monitor_argument() */
typedef struct TestMonitor TestMonitor;
TestMonitor *test_monitor_connect(const TestSandbox *sandbox);
/** test_monitor_execute: Returns: (transfer full): the reply to a command without arguments */
char *test_monitor_execute(TestMonitor *monitor, const char *command);
/** test_monitor_wait_event: waits for an event of that name that has not been waited for yet */
void test_monitor_wait_event(TestMonitor *monitor, const char *event);
void test_monitor_free(TestMonitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestMonitor, test_monitor_free)

G_END_DECLS
