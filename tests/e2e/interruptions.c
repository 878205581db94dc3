/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes between: QEMU killed or stopped at each step of a start, launcher or QEMU stopped for
 * a while, a disk without room for logs, a clock that jumps, and one start after the other.
 */
#include "tests/support/launcher.h"
#include "tests/support/region.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#define NAME "between"

static char *client_socket(const TestSandbox *sandbox)
{
    return test_sandbox_instance_path(sandbox, NAME, "client.sock");
}

/* ---- QEMU goes at each step ---- */

/* What --verbose says when QEMU was spawned, greets, has negotiated, has all, goes on. */
static const char *const steps[] = {"QMP state greeting -> negotiating",
                                    "QMP state negotiating -> ready", "VM: sending -> attached",
                                    "\"execute\":\"cont\"", ": running after"};

static void interrupt_start(int number, const char *const *settings, const char *said)
{
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autoptr(TestSandbox) sandbox = test_sandbox_new();
        g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, settings, NULL, NULL);
        test_process_wait_err(launcher, steps[i], 1);
        pid_t qemu = test_find_child(launcher->pid);
        if (qemu == 0 || kill(qemu, number) < 0)
            test_process_fail(launcher, "no QEMU at '%s'", steps[i]);
        test_launcher_assert_exit(launcher, 1);
        test_launcher_assert_err(launcher, said);
        test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
    }
    g_test_message("survived QEMU's end by signal %d at %u steps of a start", number,
                   (guint)G_N_ELEMENTS(steps));
}

static void test_qemu_is_killed(gconstpointer data)
{
    const char *settings[] = {"--verbose", NULL};

    interrupt_start(SIGKILL, settings, "killed by signal 9");
    interrupt_start(SIGKILL, settings, "raise memory.max");
    interrupt_start(SIGSEGV, settings, "killed by signal 11");
}

/* One that stops for good is noticed by the start's time limit, or, once it runs, by the heartbeat.
 */
static void test_qemu_stops(gconstpointer data)
{
    const char *settings[] = {
        "--verbose", "--set", "lifecycle.start_timeout_s=4", "--set", "lifecycle.qmp_timeout_s=1",
        NULL};

    interrupt_start(SIGSTOP, settings, "lifecycle.");
}

/* ---- A pause ---- */

static void test_launcher_is_stopped(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "lifecycle.qmp_timeout_s=1", NULL);
    g_autofree char *socket = client_socket(sandbox);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");
    test_process_signal(launcher, SIGSTOP);
    /* What the two have, they have without the launcher. */
    test_region_ping(region, region->data_offset, 1);
    test_region_echo(region);
    /* Longer than the heartbeat's limit: the passing of time is what is wanted. */
    g_usleep(2500000);
    test_process_signal(launcher, SIGCONT);
    test_ping(socket, "hwcomposer");
    test_region_ping(region, region->data_offset, 5);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* Time in which the launcher did not run is not QEMU's. */
static void test_launcher_is_stopped_during_the_start(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--verbose", "--set", "lifecycle.start_timeout_s=2", NULL);

    test_process_wait_err(launcher, "QMP state greeting -> negotiating", 1);
    test_process_signal(launcher, SIGSTOP);
    /* Longer than the start's limit: the passing of time is what is wanted. */
    g_usleep(3000000);
    test_process_signal(launcher, SIGCONT);
    test_launcher_wait_running(launcher);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* Of processes that have ended, and been waited for. */
static glong count_switches(void)
{
    struct rusage usage;

    g_assert_no_errno(getrusage(RUSAGE_CHILDREN, &usage));
    return usage.ru_nvcsw;
}

/* It answers QMP, but has no devices yet that could read the hand-over: that is looked for now and
 * then. */
static void test_preconfig(gconstpointer data)
{
    const glong before = count_switches();
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--verbose", "--set", "lifecycle.start_timeout_s=2", "--set",
                    "qemu.extra_args=[\"-preconfig\"]", NULL);

    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher,
                             "answers QMP but did not take the window: perhaps -preconfig");
    g_test_message("%ld switches", count_switches() - before);
    g_assert_cmpint(count_switches() - before, <, 400);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void test_qemu_is_stopped_for_a_while(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, NULL);
    g_autofree char *socket = client_socket(sandbox);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    pid_t qemu = test_launcher_find_qemu(launcher);
    g_assert_no_errno(kill(qemu, SIGSTOP));
    g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");
    test_region_signal(region, region->data_offset);
    g_assert_no_errno(kill(qemu, SIGCONT));
    test_region_wait_signal(region, region->data_offset + 4);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* ---- Nothing left on the disk ---- */

/* The lock takes all there is. */
static void use_small_disk(gconstpointer data)
{
    const TestSandbox *sandbox = data;

    test_enter_mount_namespace();
    if (mount("tmpfs", sandbox->runtime, "tmpfs", 0, "size=4k,mode=0700") < 0)
        _exit(125);
}

static void test_full_disk(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *monitor_argument = test_monitor_argument(sandbox);
    const char *settings[] = {"--set", monitor_argument, NULL};

    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, NAME, settings, use_small_disk, sandbox);
    test_launcher_wait_running(launcher);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(sandbox);
    test_process_wait_err(launcher, "console.log: lines are lost: No space left", 1);
    /* Nothing but the log has suffered. */
    g_free(test_monitor_execute(monitor, "query-status"));
    test_launcher_stop(launcher, SIGINT);
}

/* ---- Time ---- */

static void jump_in_time(gconstpointer data)
{
    g_setenv("LD_PRELOAD", g_getenv("CVD_CLOCK_SHIM"), TRUE);
}

static void test_clock_jumps(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *settings[] = {"--set", "lifecycle.on_crash=restart", NULL};

    if (g_getenv("CVD_CLOCK_SHIM") == NULL) {
        test_skip("nothing can be preloaded into a program with a sanitizer");
        return;
    }
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, settings, jump_in_time, NULL);
    g_autofree char *socket = client_socket(sandbox);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    test_ping(socket, "sensors");
    g_assert_no_errno(kill(test_launcher_find_qemu(launcher), SIGKILL));
    test_process_wait_err(launcher, "restarting in 1 s (failure 1 of 5", 1);
    test_launcher_wait_guest(sandbox, NAME, 2);
    test_ping(socket, "sensors");
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* ---- Again and again ---- */

static guint count_cycles(void)
{
    const char *text = g_getenv("CVD_CYCLES");

    return text != NULL ? (guint)atoi(text) : 10;
}

static void test_starts_and_stops(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = client_socket(sandbox);
    guint n = count_cycles();

    for (guint i = 0; i < n; i++) {
        g_autoptr(TestProcess) launcher =
            test_launch(sandbox, NAME, "--set", "lifecycle.stop=quit", NULL);
        test_launcher_wait_running(launcher);
        g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");
        test_launcher_stop(launcher, SIGTERM);
        test_region_wait_closed(region);
        test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
    }
    g_test_message("survived %u starts and stops with a client attached, nothing left behind", n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/interruptions/qemu-is-killed-at-each-step", NULL, test_qemu_is_killed);
    test_add("/interruptions/qemu-stops-at-each-step", NULL, test_qemu_stops);
    test_add("/interruptions/launcher-is-stopped", NULL, test_launcher_is_stopped);
    test_add("/interruptions/launcher-is-stopped-during-the-start", NULL,
             test_launcher_is_stopped_during_the_start);
    test_add("/interruptions/preconfig", NULL, test_preconfig);
    test_add("/interruptions/qemu-is-stopped-for-a-while", NULL, test_qemu_is_stopped_for_a_while);
    test_add_unless("/interruptions/full-disk", NULL, test_full_disk, test_why_no_mount);
    test_add("/interruptions/clock-jumps", NULL, test_clock_jumps);
    test_add("/interruptions/starts-and-stops", NULL, test_starts_and_stops);
    return g_test_run();
}
