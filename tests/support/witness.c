/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/witness.h"

#include "tests/support/region.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void test_witness_init(TestWitness *witness, TestProcess *launcher, const char *socket,
                       const char *region)
{
    *witness = (TestWitness){
        .launcher = launcher,
        .socket = socket,
        .region = region,
        .times_us = g_array_new(FALSE, FALSE, sizeof(gint64)),
    };
}

void test_witness_visit(TestWitness *witness)
{
    gint64 start_us = g_get_monotonic_time();

    test_visit(witness->socket, witness->region);
    gint64 time_us = g_get_monotonic_time() - start_us;
    g_array_append_val(witness->times_us, time_us);
}

void test_witness_stay(TestWitness *witness, guint n)
{
    for (guint i = 0; i < n; i++)
        test_witness_visit(witness);
}

void test_witness_clear(TestWitness *witness)
{
    g_clear_pointer(&witness->times_us, g_array_unref);
}

static int compare_times(gconstpointer a, gconstpointer b)
{
    gint64 first = *(const gint64 *)a, second = *(const gint64 *)b;

    return (first > second) - (first < second);
}

void test_witness_report(TestWitness *witness, const char *format, ...)
{
    GArray *times_us = witness->times_us;
    va_list args;

    g_assert_cmpuint(times_us->len, >=, TEST_WITNESS_VISITS);
    g_array_sort(times_us, compare_times);
    double median_ms = (double)g_array_index(times_us, gint64, times_us->len / 2) / 1000;
    double longest_ms = (double)g_array_index(times_us, gint64, times_us->len - 1) / 1000;
    va_start(args, format);
    g_autofree char *attack = g_strdup_vprintf(format, args);
    va_end(args);
    g_test_message("survived %s; %u others served meanwhile, median %.2f ms, longest %.1f ms",
                   attack, times_us->len, median_ms, longest_ms);
    g_assert_cmpfloat(median_ms, <, TEST_WITNESS_MS);
    if (witness->launcher->has_ended)
        test_process_fail(witness->launcher, "it ended");
}

void test_count(guint *count)
{
    __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
}

static gboolean has_ended(pid_t pid)
{
    int status;

    return waitpid(pid, &status, WNOHANG) != 0;
}

/* Its own process group, so that its children end with it. */
static pid_t start_attack(TestAttack attack, gconstpointer data, guint *count)
{
    /* Those that it leaves behind become our children, for us to wait for. */
    g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        attack(data, count);
        _exit(0);
    }
    setpgid(pid, pid);
    return pid;
}

/* A child of the attack that is still dying would be a peer that still lives, and rightly keep
 * its place. */
static void end_attack(pid_t pid)
{
    g_assert_cmpint(kill(-pid, SIGKILL), ==, 0);
    while (waitpid(-pid, NULL, 0) > 0)
        ;
    g_assert_cmpint(errno, ==, ECHILD);
    g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 0), ==, 0);
}

guint test_witness_attack(TestWitness *witness, TestAttack attack, gconstpointer data, guint goal)
{
    guint *count =
        mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    g_assert_true(count != MAP_FAILED);
    pid_t pid = start_attack(attack, data, count);
    gint64 deadline_us = g_get_monotonic_time() + TEST_TIMEOUT_MS * 1000;
    for (guint i = 0; i < TEST_WITNESS_VISITS || __atomic_load_n(count, __ATOMIC_SEQ_CST) < goal;
         i++) {
        test_witness_visit(witness);
        if (has_ended(pid))
            g_error("the attack ended after %u", *count);
        if (g_get_monotonic_time() > deadline_us)
            g_error("the attack does not come to %u: it stands at %u", goal, *count);
    }
    end_attack(pid);
    guint reached = *count;
    munmap(count, sizeof *count);
    return reached;
}

guint test_count_fds(const TestProcess *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", process->pid);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    guint n = 0;

    g_assert_no_error(error);
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

static guint find_kb(const char *text, const char *name)
{
    guint kb = 0;
    const char *line = strstr(text, name);

    g_assert_true(line != NULL && sscanf(line + strlen(name), "%u kB", &kb) == 1);
    return kb;
}

TestMemory test_get_memory(const TestProcess *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", process->pid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (TestMemory){.pss_kb = find_kb(text, "\nPss:"),
                        .anonymous_kb = find_kb(text, "\nAnonymous:")};
}

void test_assert_no_growth(TestMemory before, TestMemory after, guint slack_kb)
{
#ifndef __SANITIZE_ADDRESS__
    g_assert_cmpuint(after.anonymous_kb, <=, before.anonymous_kb + slack_kb);
#endif
}
