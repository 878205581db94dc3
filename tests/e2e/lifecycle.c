/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a launch ends: every way to ask for it, every way in which QEMU or the launcher can go first,
 * and the guest's own reset, which is no end at all.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME          "life"
#define WITHOUT_GUEST "qemu={\"accel\":\"tcg\",\"memory\":\"64M\"}"

static TestInstance *start(const char *const *args)
{
    TestInstance *fixture = test_instance_new(NAME);
    g_autofree char *monitor = test_monitor_argument(fixture->sandbox);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    g_strv_builder_add_many(builder, "--set", monitor, NULL);
    if (args != NULL)
        g_strv_builder_addv(builder, (const char **)args);
    g_auto(GStrv) all = g_strv_builder_end(builder);
    fixture->launcher =
        test_launch_with(fixture->sandbox, NAME, (const char *const *)all, NULL, NULL);
    return fixture;
}

static TestInstance *boot(const char *const *args)
{
    TestInstance *fixture = start(args);

    test_instance_wait_guest(fixture, 1);
    return fixture;
}

static char *first_region(const TestInstance *fixture)
{
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);

    return g_strdup(g_ptr_array_index(names, 0));
}

/* What the guest does ends the launch. */
typedef struct {
    const char *name;
    const char *command;
    const char *words;
    const char *args[3];
} End;

static const End ends[] = {
    {"guest-powers-off", "system_powerdown", "guest powered off", {NULL}},
    {"reboot-means-exit", "system_reset", "guest rebooted", {"--set", "lifecycle.on_reboot=exit"}},
};

static void test_guest_ends(gconstpointer data)
{
    const End *end = data;
    g_autoptr(TestInstance) fixture = boot(end->args);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(fixture->sandbox);

    g_free(test_monitor_execute(monitor, end->command));
    test_instance_ended(fixture, 0, TEST_NOTHING_LEFT);
    test_launcher_assert_err(fixture->launcher, end->words);
}

static void test_guest_reset(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(fixture->sandbox);
    g_autofree char *name = first_region(fixture);
    g_autoptr(TestRegion) before = test_region_attach(fixture->client_socket, name);

    test_region_ping(before, before->data_offset, 1);
    /* What an old guest leaves behind: a word that says "rung already", an offset that nobody
     * takes. */
    *test_region_word(before, before->in.word) = 1;
    *test_region_word(before, before->in.table) = before->data_offset + 12;
    *test_region_word(before, before->data_offset + 64) = 4711;
    g_free(test_monitor_execute(monitor, "system_reset"));
    test_region_wait_closed(before);
    g_assert_true(test_region_signals_are_zero(before));
    g_assert_cmpuint(*test_region_word(before, before->data_offset + 64), ==, 4711);
    test_launcher_wait_guest(fixture->sandbox, NAME, 2);

    g_autoptr(TestRegion) after = test_region_attach(fixture->client_socket, name);
    test_region_ping(after, after->data_offset, 2);
    test_region_echo(after);
    test_instance_stop(fixture, SIGINT);
}

static void test_reset_again_and_again(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(fixture->sandbox);
    g_autofree char *name = first_region(fixture);

    for (guint i = 0; i < 5; i++) {
        g_autoptr(TestRegion) region = test_region_attach(fixture->client_socket, name);
        g_free(test_monitor_execute(monitor, "system_reset"));
        test_region_wait_closed(region);
        test_launcher_wait_guest(fixture->sandbox, NAME, 2 + i);
        test_ping(fixture->client_socket, name);
    }
    test_instance_stop(fixture, SIGINT);
}

static void test_signal_stops(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    g_autofree char *name = first_region(fixture);
    g_autoptr(TestRegion) region = test_region_attach(fixture->client_socket, name);

    test_process_signal(fixture->launcher, GPOINTER_TO_INT(data));
    test_region_wait_closed(region);
    test_instance_ended(fixture, 0, TEST_NOTHING_LEFT);
}

static void test_stop_by_quit(gconstpointer data)
{
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestInstance) fixture = boot(args);

    test_instance_stop(fixture, SIGINT);
    g_assert_false(test_process_has_err(fixture->launcher, "guest powered off"));
}

/* The firmware is deaf to the power button; the guest hears it when it is pressed again. */
static void test_interrupt_before_the_guest_listens(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = start(NULL);

    test_launcher_wait_running(fixture->launcher);
    test_instance_stop(fixture, SIGINT);
    test_launcher_assert_err(fixture->launcher, "stopped: the guest powered off");
}

/* Started by somebody who ignores SIGCHLD, which is inherited: QEMU's end is understood still. */
static void ignore_children(gconstpointer data)
{
    signal(SIGCHLD, SIG_IGN);
}

static void test_parent_ignores_children(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, "childless", args, ignore_children, NULL);

    test_launcher_wait_running(launcher);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* As a service manager does that sends it to all processes of a service at once. */
static void test_sigterm_to_all(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);

    g_assert_no_errno(kill(test_launcher_find_qemu(fixture->launcher), SIGTERM));
    test_instance_stop(fixture, SIGTERM);
    test_launcher_assert_err(fixture->launcher, "stopped: the guest powered off");
}

/* Without a kernel nothing listens to the power button; the second ctrl-c is not to wait for it. */
static void test_double_interrupt(gconstpointer data)
{
    const char *args[] = {"--set", WITHOUT_GUEST, "--set", "lifecycle.stop_timeout_s=600", NULL};
    g_autoptr(TestInstance) fixture = start(args);

    test_launcher_wait_running(fixture->launcher);
    test_process_signal(fixture->launcher, SIGINT);
    test_process_wait_err(fixture->launcher, "power", 1);
    test_instance_stop(fixture, SIGINT);
}

/* Signals up to the very end cut no teardown short. */
static void test_interrupts_without_end(gconstpointer data)
{
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestInstance) fixture = start(args);
    GPollFD ended = {.fd = fixture->launcher->pidfd, .events = G_IO_IN};

    test_launcher_wait_running(fixture->launcher);
    do
        test_process_signal(fixture->launcher, GPOINTER_TO_INT(data));
    while (g_poll(&ended, 1, 0) == 0);
    test_instance_ended(fixture, 0, TEST_NOTHING_LEFT);
}

/* A guest that does not answer the power button is stopped after stop_timeout_s. */
static void test_powerdown_times_out(gconstpointer data)
{
    const char *args[] = {"--set", WITHOUT_GUEST, "--set", "lifecycle.stop_timeout_s=1", NULL};
    g_autoptr(TestInstance) fixture = start(args);

    test_launcher_wait_running(fixture->launcher);
    test_instance_stop(fixture, SIGTERM);
}

/* Somebody is to write the configuration into a pipe, and takes his time. @data: an option more. */
static void test_interrupt_before_the_configuration(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_sandbox_path(sandbox, "config");
    g_assert_no_errno(mkfifo(config, 0600));
    cvd_autofd writer = open(config, O_RDWR | O_CLOEXEC);
    cvd_autofd opened = inotify_init1(IN_CLOEXEC);
    g_assert_true(writer >= 0 && inotify_add_watch(opened, config, IN_OPEN) >= 0);

    g_autoptr(TestProcess) launcher = test_launch_config(sandbox, config, data, NULL);
    test_wait_readable(opened, "the launcher opens its configuration");
    test_launcher_stop(launcher, SIGINT);
    g_assert_no_errno(unlink(config));
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* A ctrl-c before the VM runs is a stop like any other. @data: the line to wait for first. */
static void test_interrupt_during_start(gconstpointer data)
{
    const char *args[] = {"--verbose", NULL};
    g_autoptr(TestInstance) fixture = start(args);

    if (data != NULL)
        test_process_wait_err(fixture->launcher, data, 1);
    test_process_signal(fixture->launcher, SIGINT);
    test_process_wait_end(fixture->launcher);
    /* Before main() has installed its handlers the signal ends the process: that is a stop, too. */
    if (WIFSIGNALED(fixture->launcher->status))
        g_assert_cmpint(WTERMSIG(fixture->launcher->status), ==, SIGINT);
    else
        g_assert_cmpint(WEXITSTATUS(fixture->launcher->status), ==, 0);
    test_sandbox_assert_clean(fixture->sandbox, TEST_NOTHING_LEFT);
}

/* The moment at which QEMU exists but has not been told to run yet. */
static void test_interrupt_while_qemu_loads(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *started = test_sandbox_write(sandbox, "started", "");
    g_autofree char *text = g_strdup_printf("#!/bin/sh\necho yes >>%s\n"
                                            "exec qemu-system-x86_64 \"$@\"\n",
                                            started);
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu", text);
    g_autofree char *argument = g_strdup_printf("qemu.binary=%s", binary);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, "--set", argument, NULL);

    test_wait_file(started, "yes", 1);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

static void test_timeout(gconstpointer data)
{
    const char *args[] = {"--timeout", "2", NULL};
    g_autoptr(TestInstance) fixture = start(args);

    test_instance_ended(fixture, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(fixture->launcher, "timeout");
}

static void test_paused(gconstpointer data)
{
    const char *args[] = {"--paused", NULL};
    g_autoptr(TestInstance) fixture = start(args);

    test_process_wait_err(fixture->launcher, "paused", 1);
    g_assert_false(test_process_has_err(fixture->launcher, "running"));
    g_autoptr(TestMonitor) monitor = test_monitor_connect(fixture->sandbox);
    g_autofree char *status = test_monitor_execute(monitor, "query-status");
    g_assert_nonnull(strstr(status, "\"running\": false"));
    /* The window is handed over all the same, and the guest answers once a debugger lets it run. */
    g_autofree char *name = first_region(fixture);
    g_autoptr(TestRegion) region = test_region_attach(fixture->client_socket, name);
    test_region_signal(region, region->data_offset);
    g_free(test_monitor_execute(monitor, "query-status"));
    g_assert_false(test_region_is_rung(region));
    g_free(test_monitor_execute(monitor, "cont"));
    test_region_wait_signal(region, region->data_offset + 4);
    test_instance_stop(fixture, SIGINT);
}

static void test_launcher_is_killed(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    cvd_autofd qemu = test_open_pid(test_launcher_find_qemu(fixture->launcher));

    test_process_signal(fixture->launcher, SIGKILL);
    test_process_wait_end(fixture->launcher);
    test_wait_readable(qemu, "the end of QEMU");

    g_autoptr(TestProcess) next = test_launch(fixture->sandbox, NAME, NULL);
    test_launcher_wait_running(next);
    test_launcher_assert_err(next, "left");
    test_launcher_wait_guest(fixture->sandbox, NAME, 1);
    g_autofree char *name = first_region(fixture);
    test_ping(fixture->client_socket, name);
    test_launcher_stop_clean(next, SIGINT, fixture->sandbox);
}

static void test_qemu_is_killed(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    cvd_autofd qemu = test_open_pid(test_launcher_find_qemu(fixture->launcher));

    g_assert_cmpint(pidfd_send_signal(qemu, SIGKILL, NULL, 0), ==, 0);
    test_instance_ended(fixture, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(fixture->launcher, "was killed by signal 9");
}

/* A QEMU that can do nothing at all ends by SIGKILL, at the foot of the ladder. */
static void test_qemu_does_not_react(gconstpointer data)
{
    const char *args[] = {"--set", "lifecycle.stop_timeout_s=1", NULL};
    g_autoptr(TestInstance) fixture = boot(args);
    cvd_autofd qemu = test_open_pid(test_launcher_find_qemu(fixture->launcher));

    g_assert_cmpint(pidfd_send_signal(qemu, SIGSTOP, NULL, 0), ==, 0);
    test_process_signal(fixture->launcher, SIGINT);
    test_process_wait_end(fixture->launcher);
    test_launcher_assert_err(fixture->launcher, "SIGHUP");
    test_launcher_assert_err(fixture->launcher, "killed QEMU");
    test_sandbox_assert_clean(fixture->sandbox, TEST_LOGS_LEFT);
}

static void test_qemu_quits_by_itself(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(fixture->sandbox);

    g_free(test_monitor_execute(monitor, "quit"));
    test_process_wait_end(fixture->launcher);
    g_assert_true(WIFEXITED(fixture->launcher->status));
    test_sandbox_assert_clean(fixture->sandbox, TEST_LOGS_LEFT);
}

static void take_terminal(gconstpointer data)
{
    int terminal = open(data, O_RDWR);

    setsid();
    if (ioctl(terminal, TIOCSCTTY, 0) < 0 || dup2(terminal, STDIN_FILENO) < 0)
        _exit(124);
    close(terminal);
}

/* ctrl-c typed on a terminal goes to the whole foreground group; QEMU must not be in it. */
static void test_interrupt_on_a_terminal(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    cvd_autofd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    const char *none[] = {NULL};
    char terminal[64];

    g_assert_cmpint(master, >=, 0);
    g_assert_cmpint(grantpt(master), ==, 0);
    g_assert_cmpint(unlockpt(master), ==, 0);
    g_assert_cmpint(ptsname_r(master, terminal, sizeof terminal), ==, 0);
    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, NAME, none, take_terminal, terminal);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    g_assert_cmpint(getpgid(test_launcher_find_qemu(launcher)), !=, launcher->pid);
    g_assert_cmpint(write(master, "\003", 1), ==, 1);
    test_launcher_assert_exit(launcher, 0);
    test_launcher_assert_err(launcher, "asked the guest to power off");
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* No descriptor of the launcher's but those that are handed over on purpose reaches QEMU. */
static void test_qemu_inherits_nothing(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = boot(NULL);
    g_autofree char *dir =
        g_strdup_printf("/proc/%d/fd", test_launcher_find_qemu(fixture->launcher));
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(fds)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);
        if (target == NULL)
            continue;
        g_assert_null(strstr(target, "/lock"));
        g_assert_null(strstr(target, "console.log"));
        if (strstr(target, "qemu.log") != NULL)
            g_assert_cmpint(atoi(name), <=, STDERR_FILENO);
    }
    test_instance_stop(fixture, SIGINT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_add, "/lifecycle/", ends, test_guest_ends);
    test_add("/lifecycle/guest-reset", NULL, test_guest_reset);
    test_add("/lifecycle/reset-again-and-again", NULL, test_reset_again_and_again);
    test_add("/lifecycle/ctrl-c", GINT_TO_POINTER(SIGINT), test_signal_stops);
    test_add("/lifecycle/sigterm", GINT_TO_POINTER(SIGTERM), test_signal_stops);
    test_add("/lifecycle/sigterm-to-all-processes", NULL, test_sigterm_to_all);
    test_add("/lifecycle/sighup", GINT_TO_POINTER(SIGHUP), test_signal_stops);
    test_add("/lifecycle/ctrl-c-on-a-terminal", NULL, test_interrupt_on_a_terminal);
    test_add("/lifecycle/stop-by-quit", NULL, test_stop_by_quit);
    test_add("/lifecycle/parent-ignores-children", NULL, test_parent_ignores_children);
    test_add("/lifecycle/ctrl-c-twice", NULL, test_double_interrupt);
    test_add("/lifecycle/ctrl-c-without-end", GINT_TO_POINTER(SIGINT), test_interrupts_without_end);
    test_add("/lifecycle/hangup-without-end", GINT_TO_POINTER(SIGHUP), test_interrupts_without_end);
    test_add("/lifecycle/powerdown-times-out", NULL, test_powerdown_times_out);
    test_add("/lifecycle/ctrl-c-before-the-guest-listens", NULL,
             test_interrupt_before_the_guest_listens);
    test_add("/lifecycle/ctrl-c-before-the-configuration", NULL,
             test_interrupt_before_the_configuration);
    test_add("/lifecycle/ctrl-c-before-the-configuration-without-a-vm", "--serve-only",
             test_interrupt_before_the_configuration);
    test_add("/lifecycle/ctrl-c-at-once", NULL, test_interrupt_during_start);
    test_add("/lifecycle/ctrl-c-after-the-first-line", ": ", test_interrupt_during_start);
    test_add("/lifecycle/ctrl-c-while-qemu-loads", NULL, test_interrupt_while_qemu_loads);
    test_add("/lifecycle/timeout", NULL, test_timeout);
    test_add("/lifecycle/paused", NULL, test_paused);
    test_add("/lifecycle/launcher-is-killed", NULL, test_launcher_is_killed);
    test_add("/lifecycle/qemu-is-killed", NULL, test_qemu_is_killed);
    test_add("/lifecycle/qemu-does-not-react", NULL, test_qemu_does_not_react);
    test_add("/lifecycle/qemu-quits-by-itself", NULL, test_qemu_quits_by_itself);
    test_add("/lifecycle/qemu-inherits-nothing", NULL, test_qemu_inherits_nothing);
    return g_test_run();
}
