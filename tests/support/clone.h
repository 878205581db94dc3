/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/** TEST_SNAPSHOT: the name of the snapshot that test_save() makes */
#define TEST_SNAPSHOT "base"

/**
 * TestClone:
 * @name: of the instance
 * @launcher: `cvd-launch --from`
 * @client_socket: path
 *
 * A machine that was started from a snapshot, in the sandbox of that.
 */
typedef struct {
    const TestSandbox *sandbox;
    char *name;
    TestProcess *launcher;
    char *client_socket;
} TestClone;

/** test_save: `cvd-ctl snapshot` of the instance, which ends; @...: further arguments, %NULL at the
 * end */
void test_save(const TestSandbox *sandbox, const char *instance, ...) G_GNUC_NULL_TERMINATED;

/** test_snapshot_path: Returns: (transfer full): where the snapshot of that name is */
char *test_snapshot_path(const TestSandbox *sandbox, const char *name);

/**
 * test_clone_start:
 * @name: of the instance
 * @from: the snapshot
 * @args: (array zero-terminated=1) (nullable): further arguments
 */
TestClone *test_clone_start(const TestSandbox *sandbox, const char *name, const char *from,
                            const char *const *args);
/** test_clone_run: the same, and waits until the guest runs */
TestClone *test_clone_run(const TestSandbox *sandbox, const char *name, const char *from,
                          const char *const *args);
/** test_clone_wait_running: waits until it says so the @n-th time */
void test_clone_wait_running(const TestClone *clone, guint n);
/** test_clone_assert_not_booted: fails the test if the guest has printed what it prints then */
void test_clone_assert_not_booted(const TestClone *clone);
/** test_clone_ctl: a verb of cvd-ctl is carried out. Returns: (transfer full): what it printed */
char *test_clone_ctl(const TestClone *clone, const char *verb, const char *argument);
/** test_clone_stop: ctrl-c, and waits for the end, with status 0 */
void test_clone_stop(const TestClone *clone);
void test_clone_free(TestClone *clone);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestClone, test_clone_free)

G_END_DECLS
