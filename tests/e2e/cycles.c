/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU is killed and started anew, again and again, with a client attached each time. What the
 * launcher has at the end is what it had after the first. CVD_CYCLES in the environment is how
 * often.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/witness.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>

#define NAME "cycles"
/* What malloc may keep of what it was given back. */
#define SLACK_KB 512

static void crash(TestProcess *launcher, const char *socket, guint n)
{
    g_autoptr(TestRegion) region = test_region_attach(socket, "misc");
    cvd_autofd qemu = test_open_pid(test_launcher_find_qemu(launcher));

    g_assert_no_errno(pidfd_send_signal(qemu, SIGKILL, NULL, 0));
    test_region_wait_closed(region);
    test_process_wait_err(launcher, ": running after ", n + 1);
}

static void test_crashes(gconstpointer data)
{
    const char *wanted = g_getenv("CVD_CYCLES");
    guint n_cycles = wanted != NULL ? (guint)atoi(wanted) : 40;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");
    const char *args[] = {
        "--set", "lifecycle.on_crash=restart",   "--set", "lifecycle.restart_delay_ms=0",
        "--set", "lifecycle.restart_limit=1000", "--set", "lifecycle.stop=quit",
        NULL};
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, NULL, NULL);

    test_launcher_wait_running(launcher);
    crash(launcher, socket, 1);
    guint n_fds = test_count_fds(launcher);
    TestMemory before = test_get_memory(launcher);
    for (guint i = 2; i <= n_cycles; i++)
        crash(launcher, socket, i);
    guint n_fds_after = test_count_fds(launcher);
    TestMemory after = test_get_memory(launcher);
    test_visit(socket, "misc");
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
    g_test_message("survived %u crashes of QEMU with a client attached; descriptors %u, then %u; "
                   "memory of its own %u kB, then %u kB; PSS %u kB, then %u kB",
                   n_cycles, n_fds, n_fds_after, before.anonymous_kb, after.anonymous_kb,
                   before.pss_kb, after.pss_kb);
    g_assert_cmpuint(n_fds_after, ==, n_fds);
    test_assert_no_growth(before, after, SLACK_KB);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/cycles/crashes", NULL, test_crashes);
    return g_test_run();
}
