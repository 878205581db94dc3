/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/** TEST_TIMEOUT_MS: fail-safe of every wait in the tests; a wait that needs it has failed. */
#define TEST_TIMEOUT_MS 60000

/**
 * TestSandbox:
 * @dir: a directory of its own below /tmp, short enough for socket paths, mode 0700
 * @runtime: the XDG_RUNTIME_DIR below @dir
 * @token: the last component of @dir: no other test's paths, arguments or environment have it
 *
 * Where one test lives. Everything that the test starts has @dir in its environment, so what is
 * left of it can be found.
 */
typedef struct {
    char *dir;
    char *runtime;
    char *token;
} TestSandbox;

TestSandbox *test_sandbox_new(void);

/** test_sandbox_set_environment: has the programs that are executed put instances and snapshots,
 * and look for them, in the sandbox alone */
void test_sandbox_set_environment(const TestSandbox *sandbox);

/** test_sandbox_path: Returns: (transfer full): a path directly below the sandbox's @dir */
char *test_sandbox_path(const TestSandbox *sandbox, const char *name);

/** test_sandbox_instance_path: Returns: (transfer full): a path in an instance's directory */
char *test_sandbox_instance_path(const TestSandbox *sandbox, const char *instance,
                                 const char *name);

/**
 * test_sandbox_write:
 *
 * Returns: (transfer full): the path of a new file with that content, below @dir
 */
char *test_sandbox_write(const TestSandbox *sandbox, const char *name, const char *content);

/** test_sandbox_write_script: the same, executable */
char *test_sandbox_write_script(const TestSandbox *sandbox, const char *name, const char *content);

/** test_layout_text: Returns: (transfer full): a layout of small regions, `region0` of version 0
 * and so on */
char *test_layout_text(guint n_regions);

/** test_sandbox_find_processes: Returns: (transfer full): pids of living processes of the sandbox
 */
GArray *test_sandbox_find_processes(const TestSandbox *sandbox);

/** test_sandbox_find_process: Returns: the pid of a living one whose name begins with @name; fails
 * the test without one */
pid_t test_sandbox_find_process(const TestSandbox *sandbox, const char *name);

typedef enum {
    TEST_NOTHING_LEFT,
    TEST_LOGS_LEFT, /* the run failed: logs and the record of the failure stay to be looked at */
} TestLeft;

/**
 * test_sandbox_assert_clean:
 *
 * Fails the test if a process, a bound socket, a file in the runtime directory, or a /dev/shm entry
 * is left.
 */
void test_sandbox_assert_clean(const TestSandbox *sandbox, TestLeft expected);

/**
 * test_sandbox_free:
 *
 * Removes the directory with everything in it.
 */
void test_sandbox_free(TestSandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestSandbox, test_sandbox_free)

/** test_sandbox_remove_of: kills and removes what a test process that failed has left behind */
void test_sandbox_remove_of(pid_t pid);

/** test_source_path: Returns: (transfer full): a path below the source tree */
char *test_source_path(const char *name);

/**
 * test_may_mount:
 *
 * Returns: whether a child process can have a mount namespace of its own with a tmpfs in it
 */
gboolean test_may_mount(void);

/** test_why_no_mount: Returns: (transfer full) (nullable): the same, for test_add_unless() */
char *test_why_no_mount(void);
/** test_why_no_guest: Returns: (transfer full) (nullable): that the built-in guest was not built */
char *test_why_no_guest(void);

/**
 * test_enter_mount_namespace:
 *
 * In a child process: a mount namespace of its own, private, in a user namespace where that is
 * needed. Exits the process on failure.
 */
void test_enter_mount_namespace(void);

G_END_DECLS
