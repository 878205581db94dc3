/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/sandbox.h"

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * TestProcess:
 * @pid: its process id
 * @pidfd: readable once the process has ended
 * @out: what it has written to stdout so far
 * @err: the same for stderr
 * @status: the wait status, once @has_ended
 *
 * A child process whose output is collected while somebody waits for something.
 */
typedef struct {
    pid_t pid;
    int pidfd;
    int out_fd;
    int err_fd;
    GString *out;
    GString *err;
    gboolean has_ended;
    int status;
} TestProcess;

/**
 * TestProcessSetup:
 *
 * Runs in the child before the program starts, for limits, ids and namespaces.
 */
typedef void (*TestProcessSetup)(gconstpointer data);

/**
 * test_process_start:
 * @sandbox: whose mark it bears: XDG_RUNTIME_DIR is set to the sandbox's
 * @argv: the program, looked up in PATH, and its arguments
 * @setup: (nullable): what to do in the child first
 * @data: for @setup
 *
 * Starts a program with stdin from /dev/null. It is killed when the test dies.
 */
TestProcess *test_process_start(const TestSandbox *sandbox, const char *const *argv,
                                TestProcessSetup setup, gconstpointer data);

/** test_process_wait_err: waits until the @n-th occurrence of @text stands in a whole line */
void test_process_wait_err(TestProcess *process, const char *text, guint n);
/** test_process_wait_out: the same for stdout */
void test_process_wait_out(TestProcess *process, const char *text, guint n);
/** test_process_has_err: Returns: whether @text has been seen on stderr by now */
gboolean test_process_has_err(const TestProcess *process, const char *text);

/** test_process_wait_exit: Returns: the exit status; the process must end by itself, unkilled */
int test_process_wait_exit(TestProcess *process);
/** test_process_wait_end: waits until it has ended, in whatever way */
void test_process_wait_end(TestProcess *process);
/** test_process_get_cpu_us: Returns: the processor time that it has had, in microseconds */
guint64 test_process_get_cpu_us(const TestProcess *process);

void test_process_signal(TestProcess *process, int signal);

/** test_process_fail: fails the test, with what the process has printed */
void test_process_fail(const TestProcess *process, const char *format, ...)
    G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN;

/** test_process_free: kills it first if it still lives */
void test_process_free(TestProcess *process);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestProcess, test_process_free)

/**
 * test_add:
 * @path: the test's path
 * @data: what it is called with
 * @test: the test
 *
 * As g_test_add_data_func(), but each test runs in a process of its own, so that one which fails
 * does not take the rest of its program with it.
 */
void test_add(const char *path, gconstpointer data, GTestDataFunc test);
/** test_add_unless: the same, skipped if @why_not returns a reason, (transfer full) */
void test_add_unless(const char *path, gconstpointer data, GTestDataFunc test,
                     char *(*why_not)(void));
/** test_skip: as g_test_skip(), for tests that were added with test_add() */
void test_skip(const char *reason);

/** test_find_child: Returns: the pid of the only child of @parent, or 0 */
pid_t test_find_child(pid_t parent);
/** test_open_pid: Returns: a descriptor that becomes readable when the process has ended */
int test_open_pid(pid_t pid);
/** test_wait_readable: waits for @fd; fails the test, saying @what, when nothing comes */
void test_wait_readable(int fd, const char *what);
/**
 * test_wait_file:
 *
 * Waits until the file at @path, which another process writes, has @text @n times.
 */
void test_wait_file(const char *path, const char *text, guint n);

G_END_DECLS
