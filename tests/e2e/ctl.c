/* SPDX-License-Identifier: Apache-2.0 */
/* cvd-ctl with real instances: every verb, none and several of them, and what does not answer. */
#include "tests/support/ctl.h"
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "ctl"

#define START(...) test_instance_start(NAME, (const char *const[]){__VA_ARGS__, NULL})

#define CTL(f, ...) test_ctl((f)->sandbox, __VA_ARGS__, NULL)

static char *finish(TestProcess *take_ctl, int status)
{
    return test_ctl_finish(take_ctl, status);
}

static void done(TestProcess *take_ctl)
{
    test_ctl_done(take_ctl);
}

static void prints(TestProcess *take_ctl, const char *text)
{
    g_autofree char *out = finish(take_ctl, 0);

    if (strstr(out, text) == NULL)
        g_error("stdout does not have '%s': %s", text, out);
}

static void fails(TestProcess *take_ctl, int status, const char *text)
{
    g_autoptr(TestProcess) ctl = take_ctl;
    int got = test_process_wait_exit(ctl);

    if (got != status || strstr(ctl->err->str, text) == NULL)
        test_process_fail(ctl, "exit status %d, and stderr should have '%s'", got, text);
    g_assert_null(strstr(ctl->err->str, "GDBus.Error"));
    g_assert_cmpstr(ctl->out->str, ==, "");
}

static void assert_stopped(TestInstance *f)
{
    test_launcher_assert_exit(f->launcher, 0);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void stop(TestInstance *f)
{
    done(CTL(f, "stop"));
    assert_stopped(f);
}

static void test_wrong_input(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    fails(CTL(f, "lst"), 2, "did you mean 'list'");
    fails(CTL(f, "list", "x"), 2,
          "unexpected argument 'x': cvd-ctl list; --name says which instance; see cvd-ctl");
    fails(CTL(f, "list", "--name=nope"), 1, "instance 'nope' does not run (looked in ");
    fails(CTL(f, "wait"), 2, "needs more arguments");
    fails(CTL(f, "wait", "runing"), 2, "did you mean 'running'");
    fails(CTL(f, "wait", "--timeout", "soon", "running"), 2, "expected seconds");
    fails(CTL(f, "qmp", "stop", "[1]"), 2, "JSON object");
    fails(CTL(f, "qmp", "stop", "{'a': 1}"), 2,
          "line 1, column 2: single quotes; JSON's strings stand in double quotes");
    fails(CTL(f, "qmp", "{\"execute\":\"stop\"}", "{}"), 2, "arguments inside");
    fails(CTL(f, "-n", "../x", "status"), 2, "no instance's name; see cvd-ctl status --help");
    fails(CTL(f, "--nosuch"), 2, "--nosuch; see cvd-ctl --help");
    fails(CTL(f, "-n"), 2, "see cvd-ctl --help");
    fails(CTL(f, "status", "-n"), 2, "see cvd-ctl status --help");
    fails(CTL(f, "--json"), 2, "a verb is missing; see cvd-ctl --help");
    fails(CTL(f, "help"), 2, "see cvd-ctl --help");
}

/* As soon as it catches the signal. */
static void be_interrupted(gconstpointer data)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    g_assert_no_errno(kill(getpid(), SIGINT));
}

static void test_no_instance(gconstpointer data)
{
    static const char *const verbs[] = {"status", "stop",    "restart",      "reset",
                                        "pause",  "resume",  "power-button", "events",
                                        "attach", "console", "clients"};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        fails(CTL(f, verbs[i]), 1, "no instance runs (looked in ");
        fails(CTL(f, "-n", "other", verbs[i]), 1, "instance 'other' does not run");
    }
    fails(CTL(f, "logs"), 1, "none has left logs");
    fails(CTL(f, "-n", "other", "logs"), 1, "does not run");
    fails(CTL(f, "report"), 1, "no instance runs");
    fails(CTL(f, "forget"), 1, "no instance has failed");
    fails(CTL(f, "-n", "other", "forget"), 1,
          "instance 'other' does not run, and no failure of it is known");
    g_autoptr(TestProcess) list = CTL(f, "list");
    g_assert_cmpint(test_process_wait_exit(list), ==, 0);
    g_assert_nonnull(strstr(list->err->str, f->sandbox->runtime));
    done(CTL(f, "-n", "other", "wait", "stopped"));
    fails(CTL(f, "wait", "running"), 1, ", or wait for one to come with --name");
    fails(CTL(f, "-n", "other", "wait", "--timeout", "0.1", "running"), 1,
          "instance 'other' is not there, not running, after 0.1 s");
    fails(test_process_start(
              f->sandbox,
              (const char *const[]){g_getenv("CVD_CTL"), "-n", "other", "wait", "running", NULL},
              be_interrupted, NULL),
          1, "cvd-ctl: interrupted\n");
    g_autoptr(TestTerminal) terminal = test_terminal_start(
        f->sandbox, (const char *const[]){g_getenv("CVD_CTL"), "-n", "other", "wait", "--timeout",
                                          "0.1", "running", NULL});
    g_assert_cmpint(WEXITSTATUS(test_terminal_finish(terminal)), ==, 1);
    g_assert_nonnull(strstr(terminal->seen->str, "'other' does not run yet; waiting for it"));
}

static void test_look(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *pid = g_strdup_printf("%d", f->launcher->pid);

    prints(CTL(f, "list"), NAME "                  running");
    prints(CTL(f, "list"), pid);
    prints(CTL(f, "status"), "state     running");
    fails(CTL(f, "wait", "--timeout", "0.1", "stopped"), 1,
          "instance 'ctl' is running, not stopped, after 0.1 s");
    prints(CTL(f, "status"), "hwcomposer     0x00001000-0x00005000");
    prints(CTL(f, "status", "--json"), "\"state\":\"running\"");
    prints(CTL(f, "status", "--json"),
           "{\"device_name\":\"hwcomposer\",\"region_begin_offset\":4096,"
           "\"region_end_offset\":20480}");
    prints(CTL(f, "list", "--json"), "\"restarts\":0");
    prints(CTL(f, "logs"), "cvd-guest: ready");
    prints(CTL(f, "logs", "--lines", "1"), "cvd-guest: ready");
    prints(CTL(f, "logs", "--qemu"), "");
    prints(CTL(f, "logs", "--json"), "Z\",\"log\":\"console\",\"line\":\"cvd-guest: ready");
    stop(f);
}

static void test_steer(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    done(CTL(f, "pause"));
    prints(CTL(f, "status"), "state     paused");
    done(CTL(f, "pause"));
    fails(CTL(f, "power-button"), 1, "wait until it is running");
    done(CTL(f, "resume"));
    done(CTL(f, "wait", "running"));
    done(CTL(f, "reset"));
    test_launcher_wait_guest(f->sandbox, NAME, 2);
    done(CTL(f, "restart"));
    test_launcher_wait_guest(f->sandbox, NAME, 3);
    test_process_wait_err(f->launcher,
                          NAME ": restarting, as was asked: asked the guest to power off\n" NAME
                               ": running after",
                          1);
    prints(CTL(f, "list", "--json"), "\"restarts\":1");
    done(CTL(f, "power-button"));
    done(CTL(f, "wait", "stopped"));
    test_launcher_assert_exit(f->launcher, 0);
    test_launcher_assert_err(f->launcher, "guest powered off");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* SeaBIOS resets a second time; who comes when the verb has returned must not be thrown out. */
static void test_reset_and_ping(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *socket = test_sandbox_instance_path(f->sandbox, NAME, "client.sock");

    for (guint i = 0; i < 10; i++) {
        done(CTL(f, "reset"));
        g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");
        test_launcher_wait_guest(f->sandbox, NAME, 2 + i);
        test_region_ping(region, region->data_offset, 3);
        done(CTL(f, "pause"));
        done(CTL(f, "resume"));
        g_assert_false(test_region_is_closed(region));
    }
    stop(f);
}

static void test_pause_during_a_reset(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    for (guint i = 0; i < 20; i++) {
        g_autoptr(TestProcess) reset = CTL(f, "reset");
        done(CTL(f, "pause"));
        prints(CTL(f, "status"), "state     paused (a pause was asked for)");
        done(CTL(f, "resume"));
        g_assert_cmpint(test_process_wait_exit(reset), ==, 0);
    }
    stop(f);
}

/* It is answered when the guest is paused, however long the start takes. */
static void test_pause_during_a_start(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--verbose");

    test_process_wait_err(f->launcher, "QMP state greeting -> negotiating", 1);
    g_assert_null(strstr(f->launcher->err->str, "query-status")); /* it would be refused so early */
    pid_t qemu = test_find_child(f->launcher->pid);
    g_assert_no_errno(kill(qemu, SIGSTOP));
    g_autoptr(TestProcess) pause = CTL(f, "pause");
    done(CTL(f, "wait", "starting"));
    g_assert_no_errno(kill(qemu, SIGCONT));
    g_assert_cmpint(test_process_wait_exit(pause), ==, 0);
    prints(CTL(f, "status"), "state     paused (a pause was asked for)");
    stop(f);
}

/* Whoever says `stop` over QMP through the launcher has paused it as well. */
static void test_stop_over_qmp(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    done(CTL(f, "qmp", "stop"));
    done(CTL(f, "wait", "paused"));
    prints(CTL(f, "status"), "a pause was asked for");
    done(CTL(f, "qmp", "cont"));
    done(CTL(f, "wait", "running"));
    stop(f);
}

/* Until somebody sends a VM, there is none that could run. */
static void test_incoming(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--set", "qemu.extra_args=[\"-incoming\",\"defer\"]");

    test_process_wait_err(f->launcher, ": paused after ", 1);
    prints(CTL(f, "status"), "state     paused (it waits for an incoming migration)");
    g_assert_false(test_process_has_err(f->launcher, ": running"));
    stop(f);
}

/* Either it restarts, or who asks is told that it does not. */
static void test_restart_on_the_way_down(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        START("--set", "qemu={\"accel\":\"tcg\"}", "--set", "lifecycle.stop_timeout_s=1000");

    test_launcher_wait_running(f->launcher);
    test_process_signal(f->launcher, SIGINT);
    test_process_wait_err(f->launcher, "asked the guest to power off", 1);
    fails(CTL(f, "restart"), 1, "the instance is stopping");
    done(CTL(f, "stop", "--now"));
    assert_stopped(f);
}

static void test_stop_now(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        START("--set", "qemu={\"accel\":\"tcg\"}", "--set", "lifecycle.stop_timeout_s=1000");

    test_launcher_wait_running(f->launcher);
    done(CTL(f, "stop", "--now"));
    test_launcher_assert_exit(f->launcher, 0);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* Listens as a launcher does that ends just now: whoever says something is not answered. */
static void end_just_now(const char *path, int said_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char byte;

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0 ||
        write(said_fd, "", 1) < 0)
        _exit(1);
    for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; close(peer))
        if (read(peer, &byte, 1) == 1 && write(said_fd, "", 1) < 0)
            break;
    _exit(1);
}

static void test_stop_of_one_that_ends(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, "control.sock");
    g_autofree char *dir = g_path_get_dirname(path);
    int said[2];
    char byte;

    g_assert_no_errno(g_mkdir_with_parents(dir, 0700));
    g_assert_no_errno(pipe(said));
    pid_t launcher = fork();
    if (launcher == 0)
        end_just_now(path, said[1]);
    g_assert_cmpint(read(said[0], &byte, 1), ==, 1);
    TestProcess *ctl = CTL(f, "stop");
    g_assert_cmpint(read(said[0], &byte, 1), ==, 1);
    g_assert_no_errno(kill(launcher, SIGKILL));
    g_assert_cmpint(waitpid(launcher, NULL, 0), ==, launcher);
    done(ctl);
    close(said[0]);
    close(said[1]);
}

/* It had no time to leave a record. */
static void test_launcher_is_killed(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestProcess *by_name = CTL(f, "-n", NAME, "wait", "failed");

    test_process_signal(f->launcher, SIGKILL);
    test_process_wait_end(f->launcher);
    done(by_name);
    done(CTL(f, "-n", NAME, "wait", "failed"));
    done(CTL(f, "wait", "failed"));
    prints(CTL(f, "list"), "failed");
    prints(CTL(f, "status"), "failed (cvd-launch ended without a word (killed?))");
    prints(CTL(f, "logs"), "cvd-guest: ready");
    done(CTL(f, "forget"));
    fails(CTL(f, "status"), 1, "no instance runs");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_qmp(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    prints(CTL(f, "qmp", "query-status"), "\"running\" : true");
    prints(CTL(f, "--json", "qmp", "{\"execute\":\"query-name\"}"), "{\"name\":\"" NAME "\"}");
    prints(CTL(f, "qmp", "human-monitor-command", "{\"command-line\":\"info pci\"}"), "1af4:1110");
    fails(CTL(f, "qmp", "nosuch"), 1, "The command nosuch has not been found");
    fails(CTL(f, "qmp", "{\"execute\":1}"), 2, "expected {\"execute\"");
    fails(CTL(f, "qmp", "{\"execute\":}"), 2, "; see cvd-ctl qmp --help");
    fails(CTL(f, "qmp", "{\"x\":"), 2, "expected");
    stop(f);
}

/* Returns: (transfer full): cvd-ctl with a text on its stdin */
static TestProcess *start_with_input(const TestInstance *f, const char *options, const char *text)
{
    static guint n_inputs;
    g_autofree char *name = g_strdup_printf("input%u", n_inputs++);
    g_autofree char *path = test_sandbox_write(f->sandbox, name, text);
    g_autofree char *command = g_strdup_printf("exec \"$0\" %s qmp <\"$1\"", options);
    const char *argv[] = {"sh", "-c", command, g_getenv("CVD_CTL"), path, NULL};

    return test_process_start(f->sandbox, argv, NULL, NULL);
}

static void test_qmp_arguments(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    done(CTL(f, "qmp", "object-add", "qom-type=rng-random", "id=r", "filename=/dev/urandom"));
    prints(CTL(f, "qmp", "qom-get", "path=/objects/r", "property=filename"), "\"/dev/urandom\"");
    done(CTL(f, "qmp", "blockdev-add", "driver=raw", "node-name=\"n7\"", "file.driver=null-co",
             "file.size=1048576"));
    prints(CTL(f, "qmp", "query-named-block-nodes"), "\"node-name\" : \"n7\"");
    fails(CTL(f, "qmp", "qom-get", "path=1", "property=type"), 1, "expected: string");
    fails(CTL(f, "qmp", "qom-get", "path"), 2, "'path': expected KEY=VALUE");
    stop(f);
}

/* A list of commands ends where one fails. */
static void test_qmp_script(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    g_autofree char *out = finish(
        start_with_input(f, "--json",
                         "# which one\n\n  query-name\nqom-get '{\"path\": \"/\"}' property=x\n"
                         "stop\n"),
        2);
    g_assert_cmpstr(out, ==, "{\"name\":\"" NAME "\"}\n");
    g_autofree char *after = finish(start_with_input(f, "--json", "query-name\nnosuch\nstop\n"), 1);
    g_assert_cmpstr(after, ==, "{\"name\":\"" NAME "\"}\n");
    fails(start_with_input(f, "", "\n\nnosuch\n"), 1,
          "cvd-ctl: line 3: QEMU: The command nosuch has not been found");
    fails(start_with_input(f, "", "stop {\n"), 2, "line 1: a bracket is not closed");
    prints(CTL(f, "status", "--json"), "\"state\":\"running\"");
    prints(start_with_input(f, "", "qom-get path=/ property=type\n{\"execute\":\"stop\"}"),
           "\"container\"\n{}\n");
    done(CTL(f, "wait", "paused"));
    done(start_with_input(f, "", ""));
    stop(f);
}

/* Replies that once ended the VM: long, with numbers above 2^63, errors without `id`. */
static void test_qmp_oddities(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(
        "--set", "qemu.devices=[{\"driver\":\"pcie-root-port\",\"id\":\"rp\",\"addr\":\"1e.0\"}]");

    test_launcher_wait_running(f->launcher);
    g_autofree char *memory =
        finish(CTL(f, "qmp", "human-monitor-command", "{\"command-line\":\"xp /200000xb 0\"}"), 0);
    g_assert_cmpuint(strlen(memory), >, 1024 * 1024);
    g_autofree char *number =
        finish(CTL(f, "qmp", "qom-get",
                   "{\"path\":\"/machine/peripheral/rp\",\"property\":\"pref64-reserve\"}"),
               0);
    g_assert_cmpstr(number, ==, "18446744073709551615\n");
    prints(CTL(f, "--json", "qmp", "{\"execute\":\"query-name\",\"id\":18446744073709551615}"),
           "{\"return\":{\"name\":\"" NAME "\"},\"id\":18446744073709551615}\n");
    fails(CTL(f, "qmp", "query-status", "{\"x\":\"\\ufffe\"}"), 1, "QEMU: ");
    fails(CTL(f, "qmp", "query-status", "{\"x\":1e20}"), 1, "'x' is unexpected");
    fails(CTL(f, "qmp", "{\"execute\":\"query-status\",\"x\":1}"), 1, "'x' is unexpected");
    prints(CTL(f, "list", "--json"), "\"restarts\":0");
    stop(f);
}

/* A disk with more overlays than the launcher's parser takes levels, and a command with as many. */
static void test_qmp_nesting(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autoptr(GString) disk = g_string_new("{\"driver\":\"null-co\"}");

    f->launcher = test_launch(f->sandbox, NAME, NULL);
    test_launcher_wait_running(f->launcher);
    for (guint i = 0; i < 100; i++) {
        g_string_prepend(disk, "{\"driver\":\"raw\",\"file\":");
        g_string_append_c(disk, '}');
    }
    g_string_insert(disk, 1, "\"node-name\":\"deep\",");
    done(CTL(f, "qmp", "blockdev-add", disk->str));
    done(CTL(f, "qmp", "blockdev-add",
             "{\"node-name\":\"n0\",\"driver\":\"null-co\",\"size\":1048576}"));
    done(CTL(f, "qmp", "blockdev-add",
             "{\"node-name\":\"top\",\"driver\":\"raw\",\"file\":\"n0\"}"));
    for (guint i = 0; i < 70; i++) {
        g_autofree char *name = g_strdup_printf("overlay%u", i);
        g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, name);
        g_autofree char *arguments = g_strdup_printf(
            "{\"node-name\":\"n%u\",\"snapshot-node-name\":\"n%u\",\"snapshot-file\":\"%s\"}", i,
            i + 1, path);
        done(CTL(f, "qmp", "blockdev-snapshot-sync", arguments));
        unlink(path);
    }
    prints(CTL(f, "qmp", "query-named-block-nodes"), "\"node-name\" : \"n70\"");
    stop(f);
}

/* QEMU does not answer: who set a limit goes, and keeps no place; others wait for as long as it
 * takes. */
static void test_qmp_waits(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    pid_t qemu = test_launcher_find_qemu(f->launcher);

    fails(CTL(f, "qmp", "--timeout", "soon", "query-status"), 2, "expected seconds");
    g_assert_no_errno(kill(qemu, SIGSTOP));
    TestProcess *patient = CTL(f, "qmp", "query-status");
    for (guint i = 0; i < 3; i++)
        fails(CTL(f, "qmp", "--timeout", "0.1", "query-status"), 1,
              "the time of --timeout is over");
    g_assert_no_errno(kill(qemu, SIGCONT));
    prints(patient, "\"running\" : true");
    prints(CTL(f, "qmp", "query-name"), NAME);
    stop(f);
}

/* Callers that wait for a QEMU that hangs do not keep that from being noticed; they learn of it. */
static void test_qmp_of_a_hang(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    TestProcess *callers[12];

    f->launcher =
        test_launch(f->sandbox, NAME, "--set", "lifecycle.on_crash=restart", "--set",
                    "lifecycle.qmp_timeout_s=1", "--set", "lifecycle.restart_delay_ms=1", NULL);
    test_launcher_wait_running(f->launcher);
    test_launcher_wait_guest(f->sandbox, NAME, 1);
    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGSTOP));
    for (gsize i = 0; i < G_N_ELEMENTS(callers); i++)
        callers[i] = CTL(f, "qmp", "query-status");
    test_process_wait_err(f->launcher, "did not answer within lifecycle.qmp_timeout_s", 1);
    for (gsize i = 0; i < G_N_ELEMENTS(callers); i++) {
        g_assert_cmpint(test_process_wait_exit(callers[i]), ==, 1);
        test_process_free(callers[i]);
    }
    test_launcher_wait_guest(f->sandbox, NAME, 2);
    stop(f);
}

/* A command that takes longer than QEMU may: the main loop of QEMU hangs in it, as each write does
 * until somebody reads. */
static void test_qmp_takes_long(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *dump = test_sandbox_path(f->sandbox, "dump");
    g_autofree char *arguments =
        g_strdup_printf("{\"paging\":false,\"protocol\":\"file:%s\"}", dump);
    const char *slow[] = {"sh", "-c", "exec <\"$0\"; sleep 4; wc -c", dump, NULL};

    g_assert_no_errno(mkfifo(dump, 0600));
    f->launcher = test_launch(f->sandbox, NAME, "--set", "qemu.memory=256M", "--set",
                              "lifecycle.qmp_timeout_s=1", NULL);
    test_launcher_wait_running(f->launcher);
    g_autoptr(TestProcess) disk = test_process_start(f->sandbox, slow, NULL, NULL);
    prints(CTL(f, "qmp", "dump-guest-memory", arguments), "{}");
    g_assert_cmpint(test_process_wait_exit(disk), ==, 0);
    g_assert_cmpuint(g_ascii_strtoull(disk->out->str, NULL, 10), >, 256 * 1024 * 1024);
    prints(CTL(f, "status", "--json"), "\"state\":\"running\"");
    stop(f);
}

/* ---- Faults ---- */

/* Whoever has QEMU stop a guest that panics looks at it then. */
static void test_panic_that_pauses(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--set", "qemu.append=panic", "--set",
                                      "qemu.extra_args=[\"-action\",\"panic=pause\"]", "--set",
                                      "lifecycle.on_panic=restart", "--set", "lifecycle.stop=quit");

    test_process_wait_err(f->launcher, "warning: faulted: the guest panicked; once that is", 1);
    prints(CTL(f, "status", "--json"), "\"state\":\"faulted\",\"reason\":\"the guest panicked\"");
    stop(f);
}

/* A watchdog of the user's own that pauses is like the launcher's: the guest hangs. */
static void test_watchdog_that_pauses(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        START("--set", "qemu.append=hang", "--set", "qemu.devices=[{\"driver\":\"i6300esb\"}]",
              "--set", "qemu.extra_args=[\"-action\",\"watchdog=pause\"]");

    test_launcher_assert_exit(f->launcher, 1);
    test_launcher_assert_err(f->launcher, "error: the guest's watchdog ran out: the guest hangs");
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

/* ---- Namespaces ---- */

/* Runs @program by @wrapper. */
static TestProcess *start_in(const TestInstance *f, const char *const *wrapper, const char *program,
                             const char *const *arguments)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    for (; *wrapper != NULL; wrapper++)
        g_ptr_array_add(argv, (char *)*wrapper);
    g_ptr_array_add(argv, (char *)program);
    for (; *arguments != NULL; arguments++)
        g_ptr_array_add(argv, (char *)*arguments);
    g_ptr_array_add(argv, NULL);
    return test_process_start(f->sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

#define CTL_IN(f, wrapper, ...)                                                                    \
    start_in(f, wrapper, g_getenv("CVD_CTL"), (const char *const[]){__VA_ARGS__, NULL})

static const char *const pid_namespace[] = {"unshare", "-pf", "--mount-proc", NULL};
static const char *const user_namespace[] = {"unshare", "-U", "--map-user=1234", "--map-group=1234",
                                             NULL};
static const char *const no_inotify[] = {
    "unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"",
    "-",       NULL};

static gboolean can_unshare(const TestInstance *f, const char *const *wrapper)
{
    g_autoptr(TestProcess) try = start_in(f, wrapper, "true", (const char *const[]){NULL});

    if (test_process_wait_exit(try) == 0)
        return TRUE;
    test_skip("no such namespace can be had here");
    return FALSE;
}

static void start_launcher_in(TestInstance *f, const char *const *wrapper)
{
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *const arguments[] = {"-c", config, "-n", NAME, "--set", "qemu.accel=tcg", NULL};

    f->launcher = start_in(f, wrapper, g_getenv("CVD_LAUNCH"), arguments);
    test_launcher_wait_running(f->launcher);
}

/* Launcher in there, tools out here. */
static void test_launcher_in_namespace(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    if (!can_unshare(f, data))
        return;
    start_launcher_in(f, data);
    prints(CTL(f, "list"), NAME "                  running");
    prints(CTL(f, "status"), "state     running");
    prints(CTL(f, "qmp", "query-status"), "running");
    done(CTL(f, "pause"));
    done(CTL(f, "-n", NAME, "wait", "paused"));
    done(CTL(f, "stop", "--now"));
    test_launcher_assert_exit(f->launcher, 0);
    done(CTL(f, "-n", NAME, "wait", "stopped"));
}

/* The other way round, where the launcher's pid means nothing. */
static void test_tools_in_namespace(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    if (can_unshare(f, data)) {
        prints(CTL_IN(f, data, "list"), NAME "                  running");
        prints(CTL_IN(f, data, "status"), "state     running");
        done(CTL_IN(f, data, "wait", "running"));
        done(CTL_IN(f, data, "stop"));
        test_launcher_assert_exit(f->launcher, 0);
        return;
    }
    stop(f);
}

/* ---- Users ---- */

static const char *const anywhere[] = {"env", "-u", "CVD_RUNTIME_DIR", NULL};

/* XDG_RUNTIME_DIR leads to it, but is not asked then. */
static void test_only_place(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *place = test_sandbox_path(f->sandbox, "elsewhere");
    g_autofree char *setting = g_strconcat("CVD_RUNTIME_DIR=", place, NULL);
    g_autofree char *words = g_strdup_printf("no instance runs (looked in %s)", place);
    const char *const elsewhere[] = {"env", setting, NULL};

    fails(CTL_IN(f, elsewhere, "status"), 1, words);
    fails(CTL_IN(f, elsewhere, "-n", NAME, "stop"), 1, "does not run");
    prints(CTL_IN(f, anywhere, "-n", NAME, "status"), "state     running");
    stop(f);
}

#define OTHER_UID 64321

static void become_other(gconstpointer data)
{
    if (setgroups(0, NULL) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* which a change of ids takes away */
    g_unsetenv("CVD_RUNTIME_DIR");
    g_unsetenv("XDG_RUNTIME_DIR"); /* as in a job of cron */
    g_unsetenv("TMPDIR");          /* which root's tools cannot know */
}

static gboolean can_launch_as_other(const TestInstance *f)
{
    const char *argv[] = {g_getenv("CVD_LAUNCH"), "--version", NULL};

    if (geteuid() == 0) {
        g_autoptr(TestProcess) try = test_process_start(f->sandbox, argv, become_other, NULL);
        test_process_wait_end(try);
        if (WIFEXITED(try->status) && WEXITSTATUS(try->status) == 0)
            return TRUE;
    }
    test_skip("needs root, and a program that others can reach");
    return FALSE;
}

/* Root, who is let in, also finds it, and goes by the name where there is no instance of its own.
 */
static void test_instance_of_another_user(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {g_getenv("CVD_LAUNCH"), "--serve-only", "-c", config, "-n", NAME, NULL};

    if (!can_launch_as_other(f))
        return;
    f->launcher = test_process_start(f->sandbox, argv, become_other, NULL);
    test_process_wait_err(f->launcher, "serving without a VM", 1);
    prints(CTL_IN(f, anywhere, "list"), "\n" NAME "                  starting");
    prints(CTL_IN(f, anywhere, "list", "-a"), "\n64321      " NAME "                  starting");
    prints(CTL_IN(f, anywhere, "-n", NAME, "status"), "serving without a VM");
    done(CTL_IN(f, anywhere, "-n", NAME, "stop"));
    test_launcher_assert_exit(f->launcher, 0);
}

static TestProcess *start_list_of_other(const TestInstance *f, const char *option)
{
    const char *argv[] = {g_getenv("CVD_CTL"), "list", "--all-users", option, NULL};

    return test_process_start(f->sandbox, argv, become_other, NULL);
}

/* Another user sees that there is one, and cannot ask it; nor can root ask one whose runtime
 * directory is another than root's tools have. None is there twice. */
static void test_list_all_users(gconstpointer data)
{
    static const char *const elsewhere[] = {"env", "CVD_RUNTIME_DIR=/nonexistent/cvd", NULL};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    if (!can_launch_as_other(f))
        return;
    f->launcher = test_launch(f->sandbox, NAME, NULL);
    test_launcher_wait_running(f->launcher);
    g_autofree char *row = g_strdup_printf(
        "\nroot       " NAME "                  no access   %8d ", f->launcher->pid);
    g_autofree char *member = g_strdup_printf("\"launcher_pid\":%d}", f->launcher->pid);
    prints(start_list_of_other(f, NULL), row);
    prints(start_list_of_other(f, "--json"), member);
    prints(CTL_IN(f, elsewhere, "list", "-a"), NAME "                  elsewhere");
    prints(CTL(f, "list", "-a"), "\nroot       " NAME "                  running");
    g_autofree char *own = finish(CTL(f, "list", "-a", "--json"), 0);
    g_assert_null(strstr(own, member));
    g_assert_nonnull(strstr(own, "\"user\":\"root\",\"uid\":0,\"state\":\"running\""));
    stop(f);
}

/* fs.inotify.max_user_instances is used up. */
static void test_no_inotify(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    if (!can_unshare(f, no_inotify))
        return;
    TestProcess *waiting = CTL_IN(f, no_inotify, "-n", NAME, "wait", "running");
    f->launcher = test_launch(f->sandbox, NAME, NULL);
    done(waiting);
    test_launcher_wait_guest(f->sandbox, NAME, 1);
    g_autoptr(TestProcess) logs = CTL_IN(f, no_inotify, "logs", "-f");
    test_process_wait_out(logs, "cvd-guest: ready", 1);
    done(CTL(f, "reset"));
    test_process_wait_out(logs, "cvd-guest: ready", 2);
    done(CTL(f, "stop"));
    g_assert_cmpint(test_process_wait_exit(logs), ==, 0);
    assert_stopped(f);
}

/* Two that have a region's doorbells are shown, and named when the second one comes. */
/* A process of its own that has a region until it is killed. */
static pid_t hold_region(const char *socket, const char *name)
{
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    test_region_attach(socket, name);
    for (;;)
        pause();
}

static void test_clients(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *socket = test_sandbox_instance_path(f->sandbox, NAME, "client.sock");
    g_autofree char *shown = g_strdup_printf("%8d %8u  sensors ", getpid(), geteuid());

    prints(CTL(f, "clients"), "");
    g_autoptr(TestRegion) one = test_region_attach(socket, "sensors");
    prints(CTL(f, "clients"), shown);
    prints(CTL(f, "clients", "--json"), "\"region\":\"sensors\",\"age_s\":");
    prints(CTL(f, "clients", "--json"), "\"access\":\"write\",\"shared\":false}");
    pid_t two = hold_region(socket, "sensors");
    test_process_wait_err(f->launcher, "one may take what is meant for the other", 1);
    prints(CTL(f, "clients"), "clients may take each other's signals");
    g_assert_false(test_region_is_closed(one));
    g_assert_cmpint(kill(two, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(two, NULL, 0), ==, two);
    stop(f);
}

/* With sixteen that follow, others still have their way. The one too many is told. */
static void test_many_followers(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestProcess *followers[16];

    for (gsize i = 0; i < G_N_ELEMENTS(followers); i++) {
        followers[i] = CTL(f, "events");
        test_process_wait_out(followers[i], "running", 1);
    }
    prints(CTL(f, "qmp", "query-status"), "running");
    g_autoptr(TestProcess) one_more = CTL(f, "events");
    g_assert_cmpint(test_process_wait_exit(one_more), ==, 1);
    g_assert_nonnull(strstr(one_more->err->str, "as many connections are held open already"));
    done(CTL(f, "stop"));
    for (gsize i = 0; i < G_N_ELEMENTS(followers); i++)
        done(followers[i]);
    assert_stopped(f);
}

/* A script that has started it in the background waits for it, before it is there at all. */
static void test_wait_for_one_to_come(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    TestProcess *waiting = CTL(f, "-n", NAME, "wait", "running");

    f->launcher = test_launch(f->sandbox, NAME, NULL);
    done(waiting);
    test_process_wait_err(f->launcher, "running after", 1);
    stop(f);
}

/* Nor need it ever be there: a start that fails before it has a control socket leaves a record. */
static void test_wait_for_a_failure_to_come(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *report = test_sandbox_path(f->sandbox, "r.tar.gz");
    g_autofree char *place = g_build_filename(f->sandbox->runtime, "cvd", NULL);
    cvd_autofd look = inotify_init1(IN_CLOEXEC);

    g_assert_no_errno(mkdir(place, 0700));
    g_assert_no_errno(inotify_add_watch(look, place, IN_OPEN));
    TestProcess *waiting = CTL(f, "-n", NAME, "wait", "failed");
    test_wait_readable(look, "cvd-ctl's look at the instances");
    f->launcher = test_launch(f->sandbox, NAME, "--set", "sockets.vm=/nosuch/vm.sock", NULL);
    test_launcher_assert_exit(f->launcher, 1);
    done(waiting);
    prints(CTL(f, "status"), "state     failed (");
    prints(CTL(f, "status"), "/nosuch/vm.sock");
    prints(CTL(f, "list"), NAME "                  failed");
    done(CTL(f, "report", "-o", report));
    done(CTL(f, "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* Refused, as by an instance that is about to end, it waits until that has ended. */
static void test_wait_for_the_end_outside(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *socket = test_sandbox_instance_path(f->sandbox, NAME, "control.sock");
    int fds[32];

    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        fds[i] = test_connect(socket);
    TestProcess *waiting = CTL(f, "wait", "stopped");
    test_process_wait_err(f->launcher, "there are too many connections already", 1);
    fails(CTL(f, "status"), 1, "it has as many as it takes");
    fails(CTL(f, "wait", "--timeout", "0.1", "stopped"), 1, "--timeout is over");
    test_process_signal(f->launcher, SIGTERM);
    done(waiting);
    assert_stopped(f);
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        cvd_close_fd(&fds[i]);
}

static void test_events(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) text = CTL(f, "events");
    TestProcess *json = CTL(f, "events", "--json");

    test_process_wait_out(text, "running", 1);
    test_process_wait_out(json, "\"state\":\"running\"", 1);
    done(CTL(f, "pause"));
    test_process_wait_out(text, "paused", 1);
    done(CTL(f, "resume"));
    test_process_wait_out(text, "running", 2);
    done(CTL(f, "stop"));
    g_autofree char *all = finish(json, 0);
    g_assert_cmpint(test_process_wait_exit(text), ==, 0);
    g_assert_nonnull(strstr(text->out->str, "stopping a stop was asked for"));
    g_assert_nonnull(strstr(text->out->str, "stopped stopped: the guest powered off"));
    g_assert_nonnull(strstr(all, "Z\",\"event\":\"guest\",\"name\":\"POWERDOWN\",\"data\":{}}"));
    g_assert_true(g_str_has_prefix(all, "{\"time\":\"20"));
    g_assert_nonnull(strstr(all, "\"state\":\"stopped\""));
    assert_stopped(f);
}

static void test_several(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) other = test_launch(f->sandbox, "other", NULL);

    test_launcher_wait_running(other);
    fails(CTL(f, "status"), 1, "2 instances run: ctl, other; choose with --name");
    fails(CTL(f, "logs"), 1, "choose with --name");
    fails(CTL(f, "wait", "stopped"), 1, "2 instances run: ctl, other; choose with --name");
    prints(CTL(f, "list"), "other                running");
    prints(CTL(f, "-n", "other", "status"), "instance  other");
    done(CTL(f, "-n", "other", "stop"));
    test_launcher_assert_exit(other, 0);
    stop(f);
}

/* A launcher that is stopped accepts connections and never answers. */
static void test_no_answer(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) other = test_launch(f->sandbox, "other", NULL);

    test_launcher_wait_running(other);
    test_process_signal(other, SIGSTOP);
    g_autofree char *listed = finish(CTL(f, "list"), 0);
    g_assert_nonnull(strstr(listed, "other                no answer"));
    g_assert_nonnull(strstr(listed, NAME "                  running"));
    fails(CTL(f, "-n", "other", "status"), 1, "it is stopped, or hangs");
    test_process_signal(other, SIGCONT);
    done(CTL(f, "-n", "other", "stop"));
    test_launcher_assert_exit(other, 0);
    stop(f);
}

static void test_follow_logs(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) logs = CTL(f, "logs", "-f");

    test_process_wait_out(logs, "cvd-guest: ready", 1);
    done(CTL(f, "reset"));
    test_process_wait_out(logs, "cvd-guest: ready", 2);
    done(CTL(f, "stop"));
    g_assert_cmpint(test_process_wait_exit(logs), ==, 0);
    g_assert_nonnull(strstr(logs->out->str, "powering off"));
    assert_stopped(f);
}

/* A guest that is gone has left this. */
static void write_log(const TestInstance *f, const char *name, const char *content, gsize size)
{
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, name);
    g_autofree char *dir = g_path_get_dirname(path);

    g_assert_no_errno(g_mkdir_with_parents(dir, 0700));
    g_assert_true(g_file_set_contents(path, content, (gssize)size, NULL));
}

/* What could be a command to the terminal is shown; the terminal itself puts out \r\n for \n. */
static void test_logs_on_a_terminal(gconstpointer data)
{
    static const char content[] = "plain\r\ngr\xc3\xbc\xc3\x9f\ttab\n"
                                  "\x1b[2J \x07 \x7f\n"
                                  "\xc2\x90 \xc2\x9b \xc2\x9d \x90 \x9d\n"
                                  "cut \xe2\x82";
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    write_log(f, "console.log", content, strlen(content));
    g_autoptr(TestTerminal) terminal = test_terminal_start(
        f->sandbox, (const char *const[]){g_getenv("CVD_CTL"), "-n", NAME, "logs", NULL});
    g_assert_cmpint(test_terminal_finish(terminal), ==, 0);
    g_assert_cmpstr(terminal->seen->str, ==,
                    "plain\r\ngr\xc3\xbc\xc3\x9f\ttab\r\n"
                    "\\x1b[2J \\x07 \\x7f\r\n"
                    "\\xc2\\x90 \\xc2\\x9b \\xc2\\x9d \\x90 \\x9d\r\n"
                    "cut \\xe2\\x82");

    /* To a file or a pipe it goes as it is. */
    g_autofree char *piped = finish(CTL(f, "-n", NAME, "logs"), 0);
    g_assert_cmpstr(piped, ==, content);
}

/* A QEMU that fails at once has said why, and the guest nothing. */
static void test_logs_of_a_silent_guest(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    write_log(f, "console.log", "", 0);
    g_autoptr(TestProcess) ctl = CTL(f, "-n", NAME, "logs");
    g_assert_cmpint(test_process_wait_exit(ctl), ==, 0);
    g_assert_cmpstr(ctl->out->str, ==, "");
    g_assert_nonnull(strstr(ctl->err->str, "the guest has printed nothing; --qemu shows"));
}

static void test_lines_of_logs(gconstpointer data)
{
    static const struct {
        const char *lines;
        const char *printed;
    } cases[] = {
        {"0", ""},
        {"1", "four\n"},
        {"3", "two\nthree\nfour\n"},
        {"4", "one\ntwo\nthree\nfour\n"},
        {"5", "one\ntwo\nthree\nfour\n"},
    };
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    write_log(f, "console.log.1", "one\ntwo\nth", 10);
    write_log(f, "console.log", "ree\nfour\n", 9);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *out = finish(CTL(f, "-n", NAME, "logs", "--lines", cases[i].lines), 0);
        g_assert_cmpstr(out, ==, cases[i].printed);
    }
    fails(CTL(f, "-n", NAME, "logs", "--lines", "-1"), 2, "--lines '-1': expected a number");
    fails(CTL(f, "-n", NAME, "logs", "--lines", "x"), 2, "--lines 'x': expected a number");
}

static char *list_archive(const char *path)
{
    const char *argv[] = {"tar", "-tvzf", path, NULL};
    g_autoptr(GError) error = NULL;
    char *out;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status,
                 &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    return out;
}

/* What host programs have printed, and a failure has left. */
static void write_program_logs(const TestInstance *f)
{
    write_log(f, "failure.json", "{}", 2);
    write_log(f, "qemu.log", "QEMU's", 6);
    write_log(f, "programs/echo.log.1", "one\ntwo\nth", 10);
    write_log(f, "programs/echo.log", "ree\n\x1b[2J\n", 9);
    write_log(f, "programs/camera.log", "frames\n", 7);
    write_log(f, "programs/a.b.log.1", "older\n", 6); /* when the disk was full */
}

static void test_logs_of_programs(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");

    write_program_logs(f);
    g_autofree char *all = finish(CTL(f, "logs", "echo"), 0);
    g_assert_cmpstr(all, ==, "one\ntwo\nthree\n\x1b[2J\n");
    prints(CTL(f, "-n", NAME, "logs", "camera", "--lines", "1"), "frames\n");
    prints(CTL(f, "logs", "camera", "--json"), "\"log\":\"camera\",\"line\":\"frames\"");
    prints(CTL(f, "logs", "camera", "-f"), "frames\n"); /* which has ended */
    g_autofree char *words = finish(CTL(f, "--complete", "-n", NAME, "logs", ""), 0);
    g_assert_cmpstr(words, ==, "a.b\ncamera\necho\n");
    g_autofree char *others = finish(CTL(f, "--complete", "-n", NAME, "status", ""), 0);
    g_assert_cmpstr(others, ==, "");

    done(CTL(f, "report", "-o", path));
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, "cvd-report-ctl/programs/echo.log\n"));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/programs/echo.log.1\n"));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/programs/camera.log\n"));
    unlink(path);
    done(CTL(f, "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_logs_of_no_program(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    write_log(f, "failure.json", "{}", 2);
    fails(CTL(f, "logs", "echo"), 1,
          "there is no log of a program 'echo'; no program has printed anything");
    write_program_logs(f);
    fails(CTL(f, "logs", "ecko"), 1,
          "there is no log of a program 'ecko'; there are logs of a.b, camera and echo");
    fails(CTL(f, "logs", "ecko", "-f"), 1, "there is no log of a program 'ecko'");
    fails(CTL(f, "logs", "../qemu"), 1, "there is no log of a program '../qemu'");
    fails(CTL(f, "logs", "x\x1b[2J"), 1, "there is no log of a program 'x\\u001b[2J'");
    fails(CTL(f, "logs", ""), 1, "there is no log of a program ''");
    fails(CTL(f, "logs", "echo", "--qemu"), 2, "a program, --qemu and --launcher: one of them");
    fails(CTL(f, "logs", "echo", "camera"), 2, "unexpected argument 'camera'");
}

/* The directory is a link to another, a log is no file, and there are more than can be listed. */
static void test_program_logs_of_a_hostile_user(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *elsewhere = test_sandbox_path(f->sandbox, "elsewhere");
    g_autofree char *secret = g_build_filename(elsewhere, "secret.log", NULL);
    g_autofree char *programs = test_sandbox_instance_path(f->sandbox, NAME, "programs");
    g_autofree char *fifo = g_build_filename(programs, "echo.log", NULL);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");

    write_log(f, "failure.json", "{}", 2);
    g_assert_no_errno(mkdir(elsewhere, 0700));
    g_assert_true(g_file_set_contents(secret, "secret", -1, NULL));
    g_assert_no_errno(symlink(elsewhere, programs));
    fails(CTL(f, "logs", "secret"), 1, "there is no log of a program 'secret'; no program has");
    done(CTL(f, "report", "-o", path));
    g_autofree char *list = list_archive(path);
    g_assert_null(strstr(list, "secret"));
    unlink(path);
    g_assert_no_errno(unlink(programs));

    g_assert_no_errno(mkdir(programs, 0700));
    g_assert_no_errno(mkfifo(fifo, 0600));
    fails(CTL(f, "logs", "echo"), 1, "echo.log: is not a regular file");
    fails(CTL(f, "logs", "echo", "-f"), 1, "echo.log: is not a regular file");
    g_assert_no_errno(unlink(fifo));

    g_assert_no_errno(symlink(secret, fifo));
    fails(CTL(f, "logs", "echo"), 1, "there is no log of a program 'echo'");
    done(CTL(f, "forget"));
    g_assert_true(g_file_test(secret, G_FILE_TEST_EXISTS));
    unlink(secret);
    rmdir(elsewhere);
}

/* A program that has printed nothing yet; its log is new, and when it is full there is another. */
static void test_follow_logs_of_a_program(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, "programs/echo.log");
    g_autofree char *older = g_strdup_printf("%s.1", path);
    g_autoptr(TestProcess) logs = CTL(f, "logs", "-f", "echo");

    test_process_wait_err(logs,
                          "there is no log of a program 'echo'; no program has printed "
                          "anything; waiting for it",
                          1);
    write_log(f, "programs/echo.log", "first\n", 6);
    test_process_wait_out(logs, "first", 1);
    g_assert_no_errno(rename(path, older));
    write_log(f, "programs/echo.log", "second\n", 7);
    test_process_wait_out(logs, "second", 1);
    done(CTL(f, "stop"));
    g_assert_cmpint(test_process_wait_exit(logs), ==, 0);
    g_assert_cmpstr(logs->out->str, ==, "first\nsecond\n");
    assert_stopped(f);
}

/* It never prints anything. */
static void test_follow_logs_in_vain(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) logs = CTL(f, "logs", "-f", "echo");
    g_autoptr(TestProcess) interrupted = CTL(f, "logs", "-f", "echo");

    test_process_wait_err(logs, "waiting for it", 1);
    test_process_wait_err(interrupted, "waiting for it", 1);
    g_assert_no_errno(kill(interrupted->pid, SIGINT));
    int status = test_process_wait_exit(interrupted);
    g_assert_cmpint(status, ==, 0);
    done(CTL(f, "stop"));
    g_assert_cmpint(test_process_wait_exit(logs), ==, 1);
    g_assert_nonnull(strstr(logs->err->str, "program echo has printed nothing"));
    assert_stopped(f);
}

/* ---- The console ---- */

static TestTerminal *open_terminal(const TestInstance *f)
{
    return test_terminal_start(f->sandbox,
                               (const char *const[]){g_getenv("CVD_CTL"), "attach", NULL});
}

static void close_terminal(TestTerminal *take_terminal)
{
    g_autoptr(TestTerminal) terminal = take_terminal;

    g_assert_cmpint(test_terminal_finish(terminal), ==, 0);
}

/* Two at once, through a reboot that one of them typed and a restart; each leaves in its own way.
 */
static void test_console(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *one = open_terminal(f), *two = open_terminal(f);

    test_terminal_see(one, "ctrl-] detaches", 1);
    test_terminal_see(one, "cvd-guest: ready", 1);
    test_terminal_see(two, "cvd-guest: ready", 1);
    test_terminal_type(one, "reboot\r");
    test_terminal_see(two, "cvd-guest: reboot", 1);
    test_terminal_see(one, "cvd-guest: ready", 2);
    test_terminal_see(two, "cvd-guest: ready", 2);
    test_terminal_type(one, "\x1d");
    test_terminal_see(one, "detached", 1);
    close_terminal(one);
    done(CTL(f, "restart"));
    test_terminal_see(two, "cvd-guest: ready", 3);
    done(CTL(f, "stop"));
    test_terminal_see(two, "the instance has ended", 1);
    const char *reboot = strstr(two->seen->str, "cvd-guest: reboot");
    g_assert_null(strstr(reboot + 1, "cvd-guest: reboot"));
    close_terminal(two);
    assert_stopped(f);
}

/* Meanwhile the terminal is raw, and then as before, though two signals come at once. */
static void test_console_is_interrupted(gconstpointer data)
{
    static const int pairs[][2] = {{SIGTERM, SIGTERM},
                                   {SIGINT, SIGTERM},
                                   {SIGHUP, SIGHUP},
                                   {SIGQUIT, SIGQUIT},
                                   {SIGTERM, SIGCONT}};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    for (gsize n = 0; n < 30; n++) {
        gsize i = n % G_N_ELEMENTS(pairs);
        g_autoptr(TestTerminal) terminal = open_terminal(f);
        test_terminal_see(terminal, "cvd-guest: ready", 1);
        g_assert_cmpuint(test_terminal_get(terminal).c_lflag & (ICANON | ECHO | ISIG), ==, 0);
        g_assert_cmpuint(test_terminal_get(terminal).c_oflag & OPOST, ==, 0);
        for (guint k = 0; k < 2; k++)
            g_assert_no_errno(kill(terminal->pid, pairs[i][k]));
        int status = test_terminal_finish(terminal);
        g_assert_true(WIFSIGNALED(status));
        g_assert_true(WTERMSIG(status) == pairs[i][0] || WTERMSIG(status) == pairs[i][1]);
    }
    stop(f);
}

/* One signal is enough, whichever thread might take it; timeout(1) sends SIGCONT after it. */
static void test_console_of_pipe_is_interrupted(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    for (guint i = 0; i < 30; i++) {
        g_autoptr(TestProcess) console = CTL(f, "attach");
        test_process_wait_out(console, "cvd-guest: ready", 1);
        test_process_signal(console, SIGTERM);
        test_process_signal(console, SIGCONT);
        test_process_wait_end(console);
        g_assert_true(WIFSIGNALED(console->status) && WTERMSIG(console->status) == SIGTERM);
    }
    stop(f);
}

/* It is stopped from outside, the shell makes the terminal its own, and has it go on. */
static void test_console_is_stopped(gconstpointer data)
{
    static const int numbers[] = {SIGTSTP, SIGSTOP};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = open_terminal(f);
    int status;

    test_terminal_see(terminal, "cvd-guest: ready", 1);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_assert_no_errno(kill(terminal->pid, numbers[i]));
        g_assert_cmpint(waitpid(terminal->pid, &status, WUNTRACED), ==, terminal->pid);
        g_assert_true(WIFSTOPPED(status));
        if (numbers[i] == SIGTSTP)
            test_terminal_assert_restored(terminal);
        g_assert_no_errno(tcsetattr(terminal->fd, TCSANOW, &terminal->before));
        g_assert_no_errno(kill(terminal->pid, SIGCONT));
        /* Without a line's end, which a terminal that is not raw would wait for. */
        test_terminal_type(terminal, "reboo");
        test_terminal_type(terminal, "t\r");
        test_terminal_see(terminal, "cvd-guest: ready", 2 + (guint)i);
    }
    test_terminal_type(terminal, "\x1d");
    test_terminal_see(terminal, "detached", 1);
    close_terminal(terminal);
    stop(f);
}

/* A guest that is paused takes nothing. What is typed in vain is lost, and one can leave. */
static void test_console_of_deaf_guest(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = open_terminal(f);
    g_autofree char *text = g_strnfill(1024, 'x');

    test_terminal_see(terminal, "cvd-guest: ready", 1);
    done(CTL(f, "pause"));
    g_unix_set_fd_nonblocking(terminal->fd, TRUE, NULL);
    for (gsize n = 0; n < 1024 * 1024;) {
        struct pollfd room = {.fd = terminal->fd, .events = POLLOUT};
        g_assert_cmpint(poll(&room, 1, TEST_TIMEOUT_MS), ==, 1);
        gssize r = write(terminal->fd, text, 1024);
        n += (gsize)MAX(r, 0);
    }
    g_unix_set_fd_nonblocking(terminal->fd, FALSE, NULL);
    test_terminal_type(terminal, "\x1d");
    test_terminal_see(terminal, "detached", 1);
    close_terminal(terminal);
    stop(f);
}

static void test_no_console(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--set", "qemu.serial=none");

    test_launcher_wait_running(f->launcher);
    fails(CTL(f, "attach"), 1, "qemu.serial is \"none\"");
    fails(CTL(f, "console"), 1, "qemu.serial is \"none\"");
    done(CTL(f, "stop", "--now"));
    test_launcher_assert_exit(f->launcher, 0);
}

/* ---- Reports ---- */

/* There was no room on the disk for what the failure should have left. */
static void test_report_of_empty_record(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_path(f->sandbox, "report.tar.gz");

    write_log(f, "failure.json", "", 0);
    write_log(f, "qemu.log", "why\n", 4);
    g_autoptr(TestProcess) ctl = CTL(f, "-n", NAME, "report", "-o", path);
    g_assert_cmpint(test_process_wait_exit(ctl), ==, 0);
    g_assert_nonnull(strstr(ctl->err->str, "failure.json (empty), qemu.log;"));
}

/* A directory with nothing in it that belongs there. */
static void test_report_of_nothing(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_path(f->sandbox, "report.tar.gz");

    write_log(f, "other", "", 0);
    fails(CTL(f, "-n", NAME, "report", "-o", path), 1, "there is nothing for a report");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void make_sparse(const TestInstance *f, const char *name, const char *end)
{
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, name);

    write_log(f, name, "", 0);
    g_assert_no_errno(truncate(path, ((off_t)1 << 40)));
    FILE *file = fopen(path, "a");
    g_assert_cmpint(fputs(end, file), >=, 0);
    g_assert_cmpint(fclose(file), ==, 0);
}

/* As when a user puts a link to root's directories in place of the one above. */
static void test_forget_what_is_anothers(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *record = test_sandbox_instance_path(f->sandbox, NAME, "failure.json");
    g_autofree char *dir = g_path_get_dirname(record);

    if (geteuid() != 0) {
        test_skip("needs root");
        return;
    }
    write_log(f, "failure.json", "{}", 2);
    g_assert_no_errno(chown(dir, 65534, 65534));
    fails(CTL(f, "-n", NAME, "forget"), 1, "belongs to uid 65534, but ");
    g_assert_no_errno(access(record, F_OK));
    g_assert_no_errno(chown(dir, 0, 0));
    done(CTL(f, "-n", NAME, "forget"));
}

/* Root may be asked for the logs of an instance whose owner has made these. */
static void test_files_of_a_hostile_user(gconstpointer data)
{
    static const char *const names[] = {"console.log", "qemu.log", "failure.json", "window.img"};
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_path(f->sandbox, "report.tar.gz");
    g_autofree char *fifo = test_sandbox_instance_path(f->sandbox, NAME, "qemu.log");

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        make_sparse(f, names[i], "\none\ntwo\n");
    prints(CTL(f, "-n", NAME, "logs", "--lines", "2"), "one\ntwo\n");
    prints(CTL(f, "list"), "failed");
    done(CTL(f, "-n", NAME, "report", "-o", path));
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, " 1048576 "));    /* the logs */
    g_assert_nonnull(strstr(list, " 2147483648 ")); /* the window */
    unlink(path);

    g_assert_no_errno(unlink(fifo));
    g_assert_no_errno(mkfifo(fifo, 0600));
    fails(CTL(f, "-n", NAME, "logs", "--qemu"), 1, "qemu.log: is not a regular file");
}

static void test_report(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");
    g_autofree char *small = test_sandbox_path(f->sandbox, "small.tar.gz");
    struct stat st;

    done(CTL(f, "report", "-o", path));
    fails(CTL(f, "report", "-o", path), 1, "File exists");
    g_assert_no_errno(stat(path, &st));
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, "cvd-report-ctl/record.json"));
    g_assert_nonnull(strstr(list, " 2097152 "));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/window.img"));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/console.log"));
    done(CTL(f, "report", "--no-window", "--output", small));
    g_autofree char *without = list_archive(small);
    g_assert_null(strstr(without, "window.img"));
    unlink(path);
    unlink(small);
    stop(f);
}

/* A client that may write can make a window with a name as large as it likes. */
static void test_report_of_a_grown_window(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *window = test_sandbox_path(f->sandbox, "window");
    g_autofree char *argument = g_strdup_printf("window.path=%s", window);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");

    f->launcher =
        test_launch(f->sandbox, NAME, "--set", "window.backing=posix-shm", "--set", argument, NULL);
    test_launcher_wait_running(f->launcher);
    g_assert_no_errno(truncate(window, (off_t)1 << 40));
    done(CTL(f, "report", "-o", path));
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, " 2097152 "));
    unlink(path);
    done(CTL(f, "stop", "--now"));
    test_launcher_assert_exit(f->launcher, 0);
}

/* The last failure is in it as well. */
static void test_report_after_a_restart(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");
    g_autofree char *small = test_sandbox_path(f->sandbox, "small.tar.gz");

    f->launcher = test_launch(f->sandbox, NAME, "--set", "lifecycle.on_crash=restart", NULL);
    test_launcher_wait_running(f->launcher);
    test_launcher_wait_guest(f->sandbox, NAME, 1);
    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGKILL));
    test_launcher_wait_guest(f->sandbox, NAME, 2);
    prints(CTL(f, "report", "-o", path, "--json"),
           "\"contents\":[\"record.json\",\"window.img\",\"failure.json\",\"failure-window.img\",");
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, "cvd-report-ctl/failure-window.img"));
    done(CTL(f, "report", "-o", small, "--no-window"));
    g_autofree char *without = list_archive(small);
    g_assert_nonnull(strstr(without, "cvd-report-ctl/failure.json"));
    g_assert_null(strstr(without, "window.img"));
    unlink(path);
    unlink(small);
    stop(f);
}

static void test_several_failures(gconstpointer data)
{
    static const char *const names[] = {"one", "two"};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = test_sandbox_instance_path(f->sandbox, names[i], "failure.json");
        g_autofree char *dir = g_path_get_dirname(path);
        g_assert_no_errno(g_mkdir_with_parents(dir, 0700));
        g_assert_true(g_file_set_contents(path, "{}", -1, NULL));
    }
    fails(CTL(f, "forget"), 1, "2 instances have failed: one, two; choose with --name");
    done(CTL(f, "-n", "one", "forget"));
    done(CTL(f, "forget"));
    fails(CTL(f, "forget"), 1, "no instance has failed");
}

static void test_report_of_a_failure(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *path = test_sandbox_path(f->sandbox, "r.tar.gz");
    g_autofree char *out_argument = g_strdup_printf("--output=%s", path);

    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGKILL));
    test_launcher_assert_exit(f->launcher, 1);
    test_launcher_assert_err(f->launcher, "cvd-ctl report -n ctl");
    prints(CTL(f, "list"), NAME "                  failed");
    done(CTL(f, "-n", NAME, "wait", "failed"));
    fails(CTL(f, "pause"), 1, "instance 'ctl' has failed; see cvd-ctl -n ctl status");
    fails(CTL(f, "-n", NAME, "stop"), 1, "instance 'ctl' has failed; see cvd-ctl -n ctl status");
    prints(CTL(f, "status"), "state     failed (qemu-system-x86_64 was killed by signal 9");
    prints(CTL(f, "-n", NAME, "status", "--json"), "\"reason\":\"qemu-system-x86_64 was killed");
    prints(CTL(f, "list", "--json"), "\"state\":\"failed\"");
    prints(CTL(f, "logs"), "cvd-guest: ready");
    prints(CTL(f, "logs", "-f"), "cvd-guest: ready");
    done(CTL(f, "report", out_argument));
    g_autofree char *list = list_archive(path);
    g_assert_nonnull(strstr(list, "cvd-report-ctl/failure.json"));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/window.img"));
    g_assert_nonnull(strstr(list, "cvd-report-ctl/qemu.log"));

    const char *argv[] = {"tar", "-xOzf", path, "cvd-report-ctl/failure.json", NULL};
    g_autofree char *record = NULL;
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &record,
                               NULL, NULL, NULL));
    g_assert_nonnull(strstr(record, "was killed by signal 9"));
    g_assert_nonnull(strstr(record, "\"-nodefaults\""));
    g_assert_nonnull(strstr(record, "\"hwcomposer\""));
    g_assert_nonnull(strstr(record, "> {\\\"execute\\\":\\\"cont\\\""));
    unlink(path);
    done(CTL(f, "forget"));
    fails(CTL(f, "-n", NAME, "status"), 1, "does not run");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_serve_only(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {g_getenv("CVD_LAUNCH"), "--serve-only", "-c", config, "-n", NAME, NULL};

    f->launcher = test_process_start(f->sandbox, argv, NULL, NULL);
    test_process_wait_err(f->launcher, "serving without a VM", 1);
    prints(CTL(f, "status"), "state     starting (serving without a VM (--serve-only))");
    fails(CTL(f, "restart"), 1, "QEMU is somebody else's");
    fails(CTL(f, "qmp", "stop"), 1, "QEMU is somebody else's");
    fails(CTL(f, "attach"), 1, "QEMU is somebody else's");
    fails(CTL(f, "program", "start", "a"), 1, "its programs are yours to start");
    done(CTL(f, "programs"));
    fails(CTL(f, "report"), 1, "QEMU is somebody else's");
    fails(CTL(f, "logs"), 1, "QEMU is somebody else's");
    fails(CTL(f, "logs", "--qemu"), 1, "QEMU is somebody else's");
    TestProcess *events = CTL(f, "events");
    test_process_wait_out(events, "starting", 1);
    done(CTL(f, "stop"));
    g_autofree char *seen = finish(events, 0);
    g_assert_nonnull(strstr(seen, "stopping "));
    assert_stopped(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/ctl/wrong-input", NULL, test_wrong_input);
    test_add("/ctl/no-instance", NULL, test_no_instance);
    test_add("/ctl/look", NULL, test_look);
    test_add("/ctl/steer", NULL, test_steer);
    test_add("/ctl/reset-and-ping", NULL, test_reset_and_ping);
    test_add("/ctl/pause-during-a-reset", NULL, test_pause_during_a_reset);
    test_add("/ctl/pause-during-a-start", NULL, test_pause_during_a_start);
    test_add("/ctl/stop-over-qmp", NULL, test_stop_over_qmp);
    test_add("/ctl/incoming", NULL, test_incoming);
    test_add("/ctl/restart-on-the-way-down", NULL, test_restart_on_the_way_down);
    test_add("/ctl/stop-of-one-that-ends", NULL, test_stop_of_one_that_ends);
    test_add("/ctl/stop-now", NULL, test_stop_now);
    test_add("/ctl/launcher-is-killed", NULL, test_launcher_is_killed);
    test_add("/ctl/qmp", NULL, test_qmp);
    test_add("/ctl/qmp-arguments", NULL, test_qmp_arguments);
    test_add("/ctl/qmp-list-of-commands", NULL, test_qmp_script);
    test_add("/ctl/qmp-oddities", NULL, test_qmp_oddities);
    test_add("/ctl/qmp-nesting", NULL, test_qmp_nesting);
    test_add("/ctl/qmp-waits", NULL, test_qmp_waits);
    test_add("/ctl/qmp-of-a-hang", NULL, test_qmp_of_a_hang);
    test_add("/ctl/wait-for-the-end-outside", NULL, test_wait_for_the_end_outside);
    test_add("/ctl/wait-for-one-to-come", NULL, test_wait_for_one_to_come);
    test_add("/ctl/wait-for-a-failure-to-come", NULL, test_wait_for_a_failure_to_come);
    test_add("/ctl/qmp-takes-long", NULL, test_qmp_takes_long);
    test_add("/ctl/panic-that-pauses", NULL, test_panic_that_pauses);
    test_add("/ctl/watchdog-that-pauses", NULL, test_watchdog_that_pauses);
    test_add("/ctl/launcher-in-a-pid-namespace", pid_namespace, test_launcher_in_namespace);
    test_add("/ctl/launcher-in-a-user-namespace", user_namespace, test_launcher_in_namespace);
    test_add("/ctl/tools-in-a-pid-namespace", pid_namespace, test_tools_in_namespace);
    test_add("/ctl/tools-in-a-user-namespace", user_namespace, test_tools_in_namespace);
    test_add("/ctl/only-place", NULL, test_only_place);
    test_add("/ctl/instance-of-another-user", NULL, test_instance_of_another_user);
    test_add("/ctl/list-all-users", NULL, test_list_all_users);
    test_add("/ctl/no-inotify", NULL, test_no_inotify);
    test_add("/ctl/clients", NULL, test_clients);
    test_add("/ctl/17-followers", NULL, test_many_followers);
    test_add("/ctl/events", NULL, test_events);
    test_add("/ctl/several", NULL, test_several);
    test_add("/ctl/no-answer", NULL, test_no_answer);
    test_add("/ctl/follow-logs", NULL, test_follow_logs);
    test_add("/ctl/follow-logs-of-a-program", NULL, test_follow_logs_of_a_program);
    test_add("/ctl/follow-logs-in-vain", NULL, test_follow_logs_in_vain);
    test_add("/ctl/logs-of-programs", NULL, test_logs_of_programs);
    test_add("/ctl/logs-of-no-program", NULL, test_logs_of_no_program);
    test_add("/ctl/logs-of-programs-of-a-hostile-user", NULL, test_program_logs_of_a_hostile_user);
    test_add("/ctl/forget-what-is-anothers", NULL, test_forget_what_is_anothers);
    test_add("/ctl/files-of-a-hostile-user", NULL, test_files_of_a_hostile_user);
    test_add("/ctl/report-of-empty-record", NULL, test_report_of_empty_record);
    test_add("/ctl/report-of-nothing", NULL, test_report_of_nothing);
    test_add("/ctl/logs-on-a-terminal", NULL, test_logs_on_a_terminal);
    test_add("/ctl/logs-of-a-silent-guest", NULL, test_logs_of_a_silent_guest);
    test_add("/ctl/lines-of-logs", NULL, test_lines_of_logs);
    test_add("/ctl/console", NULL, test_console);
    test_add("/ctl/console-is-interrupted", NULL, test_console_is_interrupted);
    test_add("/ctl/console-of-pipe-is-interrupted", NULL, test_console_of_pipe_is_interrupted);
    test_add("/ctl/console-is-stopped", NULL, test_console_is_stopped);
    test_add("/ctl/console-of-deaf-guest", NULL, test_console_of_deaf_guest);
    test_add("/ctl/no-console", NULL, test_no_console);
    test_add("/ctl/report", NULL, test_report);
    test_add("/ctl/report-of-a-grown-window", NULL, test_report_of_a_grown_window);
    test_add("/ctl/report-after-a-restart", NULL, test_report_after_a_restart);
    test_add("/ctl/report-of-a-failure", NULL, test_report_of_a_failure);
    test_add("/ctl/several-failures", NULL, test_several_failures);
    test_add("/ctl/serve-only", NULL, test_serve_only);
    return g_test_run();
}
