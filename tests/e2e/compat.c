/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host programs that were written for other servers attach unchanged: those of 2017, which speak
 * the binary dialect, and those that speak the text protocol with another message 2 or 4. They are
 * programs of their own, host-2017.c and host-text.c.
 */
#include "tests/support/launcher.h"
#include "tests/support/vm.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "compat"

static TestProcess *start_2017(const TestSandbox *sandbox, const char *socket, const char *region,
                               const char *mode)
{
    const char *argv[] = {g_getenv("CVD_HOST_2017"), socket, region, mode, NULL};
    TestProcess *program = test_process_start(sandbox, argv, NULL, NULL);

    test_process_wait_out(program, "attached\n", 1);
    return program;
}

static void assert_answered(TestProcess *program)
{
    test_launcher_assert_exit(program, 0);
    g_assert_cmpstr(program->out->str, ==, "attached\nanswered\n");
    g_assert_cmpstr(program->err->str, ==, "");
}

static gboolean has_guest(void)
{
    if (g_getenv("CVD_GUEST") != NULL)
        return TRUE;
    test_skip("the built-in guest was not built");
    return FALSE;
}

/* No VM yet: it attaches all the same, signals, and is answered when one comes. */
static void test_2017_without_a_vm(gconstpointer mode)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "legacy");
    g_autofree char *argument = g_strdup_printf("sockets.legacy_client=%s", path);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--serve-only", "--set", argument, NULL);

    test_process_wait_err(launcher, ": serving without a VM", 1);
    g_autoptr(TestProcess) early = start_2017(sandbox, path, "sensors", mode);
    g_autoptr(TestProcess) other = start_2017(sandbox, path, "framebuffer", mode);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", NAME, NULL);
    assert_answered(early);
    assert_answered(other);
    g_autoptr(TestProcess) late = start_2017(sandbox, path, "sensors", mode);
    assert_answered(late);
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(launcher, SIGTERM);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* In the place of QEMU, until somebody writes to the pipe. Tells whether the socket is there. */
static char *write_waiting_qemu(const TestSandbox *sandbox, const char *socket, const char *started,
                                const char *pipe)
{
    g_autofree char *text =
        g_strdup_printf("#!/bin/sh\n"
                        "if [ -S %s ]; then echo early >>%s; else echo late >>%s; fi\n"
                        "read -r go <%s\n"
                        "exec qemu-system-x86_64 \"$@\"\n",
                        socket, started, started, pipe);

    g_assert_cmpint(mkfifo(pipe, 0600), ==, 0);
    return test_sandbox_write_script(sandbox, "qemu", text);
}

static void let_go(const char *pipe)
{
    int fd = open(pipe, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, "go\n", 3), ==, 3);
    close(fd);
}

/* These programs do not retry, and are started before QEMU is. Memory that has to be found makes
 * the window take longer than QEMU's first steps. */
static void test_2017_before_qemu(gconstpointer mode)
{
    if (!has_guest())
        return;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "legacy");
    g_autofree char *started = test_sandbox_write(sandbox, "started", "");
    g_autofree char *pipe = test_sandbox_path(sandbox, "pipe");
    g_autofree char *qemu = write_waiting_qemu(sandbox, path, started, pipe);
    g_autofree char *socket_argument = g_strdup_printf("sockets.legacy_client=%s", path);
    g_autofree char *qemu_argument = g_strdup_printf("qemu.binary=%s", qemu);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", socket_argument, "--set", qemu_argument, "--set",
                    "window.size=256M", "--set", "window.prealloc=true", NULL);

    test_wait_file(started, "\n", 1);
    g_autofree char *when = NULL;
    g_assert_true(g_file_get_contents(started, &when, NULL, NULL));
    g_assert_cmpstr(when, ==, "early\n");
    g_autoptr(TestProcess) first = start_2017(sandbox, path, "sensors", mode);
    g_autoptr(TestProcess) second = start_2017(sandbox, path, "framebuffer", mode);
    let_go(pipe);
    assert_answered(first);
    assert_answered(second);
    test_launcher_wait_running(launcher);
    test_launcher_stop(launcher, SIGTERM);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void run_text(const TestSandbox *sandbox, const char *form, const char *version,
                     const char *pace)
{
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");
    const char *argv[] = {g_getenv("CVD_HOST_TEXT"), socket, "misc", form, version, pace, NULL};
    g_autoptr(TestProcess) program = test_process_start(sandbox, argv, NULL, NULL);

    test_launcher_assert_exit(program, 0);
    g_assert_cmpstr(program->out->str, ==, "answered\n");
}

static void run_all_texts(const TestSandbox *sandbox, const char *version)
{
    static const char *const forms[] = {"long", "bare"};
    static const char *const paces[] = {"in-turn", "at-once", "bytes"};

    for (guint i = 0; i < G_N_ELEMENTS(forms); i++)
        for (guint j = 0; j < G_N_ELEMENTS(paces); j++)
            run_text(sandbox, forms[i], version, paces[j]);
}

/* @setting: (nullable): what --set is given; the programs expect what is right of its `=` */
static void test_text(gconstpointer setting)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *version = setting != NULL ? strchr(setting, '=') + 1 : "PROTOCOL_VER 0";
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--serve-only", setting != NULL ? "--set" : NULL, setting, NULL);

    test_process_wait_err(launcher, ": serving without a VM", 1);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", NAME, NULL);
    test_vm_wait_ready(vm);
    run_all_texts(sandbox, version);
    test_launcher_stop(vm, SIGTERM);
    test_launcher_stop(launcher, SIGTERM);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_text_with_qemu(gconstpointer data)
{
    if (!has_guest())
        return;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "sockets.version_reply=0x00000000", NULL);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    run_all_texts(sandbox, "0x00000000");
    test_launcher_stop(launcher, SIGTERM);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/compat/2017-without-a-vm/closes", "close", test_2017_without_a_vm);
    test_add("/compat/2017-without-a-vm/stays", "keep", test_2017_without_a_vm);
    test_add("/compat/2017-before-qemu/closes", "close", test_2017_before_qemu);
    test_add("/compat/2017-before-qemu/stays", "keep", test_2017_before_qemu);
    test_add("/compat/text", NULL, test_text);
    test_add("/compat/text-of-2017", "sockets.version_reply=0x00000000", test_text);
    test_add("/compat/text-of-2017-with-qemu", NULL, test_text_with_qemu);
    return g_test_run();
}
