/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/wait.h>
#include <unistd.h>

/** TEST_CHILD_SKIPS: what the child of test_in_child() returns when it cannot try */
#define TEST_CHILD_SKIPS 77

/**
 * test_child_is_fine:
 * @status: what a child ended with
 *
 * valgrind (scripts/run-tests.py) takes for lost what the parent's frames hold in the child's copy,
 * and has it end with 99.
 */
static inline gboolean test_child_is_fine(int status)
{
    return status == 0 || (status == 99 && g_getenv("CVD_UNDER_VALGRIND") != NULL);
}

/**
 * test_in_child:
 * @body: what to try in a process of its own; returns 0, or what is wrong
 * @why_skipped: for %TEST_CHILD_SKIPS
 */
static inline void test_in_child(int (*body)(gconstpointer data), gconstpointer data,
                                 const char *why_skipped)
{
    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
        _exit(body(data));
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == TEST_CHILD_SKIPS)
        g_test_skip(why_skipped);
    else
        g_assert_true(test_child_is_fine(WEXITSTATUS(status)));
}
