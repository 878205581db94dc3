/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may stand between the launcher and QEMU. QEMU ends with the launcher even if that is killed;
 * where it can escape, the next start ends it first.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME      "wrapped"
#define OTHER_UID 65534
#define QEMU      "qemu-system-x86_64 \"$@\""
/* Newer versions of QEMU have it by another name. */
#define RUN_AS_NOBODY                                                                              \
    "case $(qemu-system-x86_64 -help) in\n"                                                        \
    "*user=username*) set -- \"$@\" -run-with user=nobody ;;\n"                                    \
    "*) set -- \"$@\" -runas nobody ;; esac\n"

typedef struct {
    const char *title;
    const char *script; /* NULL: a copy of QEMU with a capability */
    gboolean is_warned_of;
    gboolean escapes; /* a launcher that is killed */
    gboolean needs_root;
} Wrapper;

static const Wrapper wrappers[] = {
    {"none", "exec " QEMU, FALSE, FALSE, FALSE},
    {"without-exec", QEMU "; echo done", TRUE, FALSE, FALSE},
    {"timeout", "exec timeout 1000 " QEMU, TRUE, FALSE, FALSE},
    {"setsid", "exec setsid -w " QEMU, TRUE, TRUE, FALSE},
    {"setpriv", "exec setpriv --reuid 65534 --clear-groups " QEMU, FALSE, FALSE, TRUE},
    {"runas", RUN_AS_NOBODY "exec " QEMU, FALSE, FALSE, TRUE},
    {"file-capability", NULL, FALSE, FALSE, TRUE},
};

typedef struct {
    const Wrapper *wrapper;
    TestSandbox *sandbox;
    char *setting;
} Fixture;

/* Its modules and firmware are found from where it is. */
static char *copy_with_capability(const TestSandbox *sandbox)
{
    g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
    g_autofree char *command =
        g_strdup_printf("cd %s && mkdir bin && cp %s bin/qemu && ln -s /usr/lib /usr/share . && "
                        "setcap cap_net_admin+ep bin/qemu",
                        sandbox->dir, qemu);

    return system(command) == 0 ? test_sandbox_path(sandbox, "bin/qemu") : NULL;
}

static void fixture_free(Fixture *fixture)
{
    test_sandbox_free(fixture->sandbox);
    g_free(fixture->setting);
    g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* Returns: NULL if the test was skipped */
static Fixture *fixture_new(const Wrapper *wrapper)
{
    if (wrapper->needs_root && geteuid() != 0) {
        test_skip("needs root");
        return NULL;
    }
    g_autoptr(Fixture) fixture = g_new0(Fixture, 1);
    fixture->wrapper = wrapper;
    fixture->sandbox = test_sandbox_new();
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n%s\n", wrapper->script);
    g_autofree char *binary = wrapper->script != NULL
                                  ? test_sandbox_write_script(fixture->sandbox, "qemu", script)
                                  : copy_with_capability(fixture->sandbox);
    if (binary == NULL) {
        test_skip("no file capabilities here (setcap)");
        return NULL;
    }
    fixture->setting = g_strdup_printf("qemu.binary=%s", binary);
    g_assert_no_errno(chmod(fixture->sandbox->dir, 0755));
    if (wrapper->script == NULL)
        g_assert_no_errno(chown(fixture->sandbox->runtime, OTHER_UID, OTHER_UID));
    return g_steal_pointer(&fixture);
}

static void become_other(gconstpointer data)
{
    if (setgroups(0, NULL) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        _exit(124);
}

static TestProcess *start(const Fixture *fixture, const char *further)
{
    const char *args[] = {"--set", fixture->setting,
                          "--set", "lifecycle.stop=quit",
                          "--set", "lifecycle.restart_delay_ms=0",
                          "--set", "qemu.sandbox=false",
                          "--set", further != NULL ? further : "name=" NAME,
                          NULL};
    TestProcess *launcher = test_launch_with(
        fixture->sandbox, NAME, args, fixture->wrapper->script == NULL ? become_other : NULL, NULL);

    test_launcher_wait_running(launcher);
    if (test_process_has_err(launcher, "has a wrapper (pid ") != fixture->wrapper->is_warned_of)
        test_process_fail(launcher, "the warning is wrong");
    return launcher;
}

/* The leaf of the processes below the launcher. */
static pid_t find_qemu(const TestProcess *launcher)
{
    pid_t pid = launcher->pid;

    for (pid_t child; (child = test_find_child(pid)) != 0;)
        pid = child;
    g_assert_cmpint(pid, !=, launcher->pid);
    return pid;
}

static void test_killed(gconstpointer data)
{
    g_autoptr(Fixture) fixture = fixture_new(data);

    if (fixture == NULL)
        return;
    g_autoptr(TestProcess) launcher = start(fixture, NULL);
    pid_t pid = find_qemu(launcher);
    cvd_autofd qemu = test_open_pid(pid);
    test_process_signal(launcher, SIGKILL);
    test_process_wait_end(launcher);
    if (!fixture->wrapper->escapes)
        test_wait_readable(qemu, "QEMU's end");
    g_autoptr(TestProcess) next = start(fixture, NULL);
    test_wait_readable(qemu, "QEMU's end");
    g_autofree char *said = g_strdup_printf("ended process %d, which a launcher", pid);
    if (test_process_has_err(next, said) != fixture->wrapper->escapes)
        test_process_fail(next, "it does not say what became of the other QEMU");
    test_launcher_stop_clean(next, SIGTERM, fixture->sandbox);
}

static void test_stopped(gconstpointer data)
{
    g_autoptr(Fixture) fixture = fixture_new(data);

    if (fixture == NULL)
        return;
    g_autoptr(TestProcess) launcher = start(fixture, NULL);
    cvd_autofd qemu = test_open_pid(find_qemu(launcher));
    test_launcher_stop(launcher, SIGTERM);
    test_wait_readable(qemu, "QEMU's end");
    test_sandbox_assert_clean(fixture->sandbox, TEST_NOTHING_LEFT);
}

/* Its RAM is memory of the launcher's, which it opens by a path in /proc. */
static void test_migratable(gconstpointer data)
{
    g_autoptr(Fixture) fixture = fixture_new(data);

    if (fixture == NULL)
        return;
    g_autoptr(TestProcess) launcher = start(fixture, "ivshmem.migratable=true");
    test_launcher_wait_guest(fixture->sandbox, NAME, 1);
    test_launcher_stop_clean(launcher, SIGTERM, fixture->sandbox);
}

/* The wrapper's end is a crash; QEMU, which has escaped from it, must not meet the next one. */
static void test_restarted(gconstpointer data)
{
    g_autoptr(Fixture) fixture = fixture_new(data);

    if (fixture == NULL)
        return;
    g_autoptr(TestProcess) launcher = start(fixture, "lifecycle.on_crash=restart");
    cvd_autofd qemu = test_open_pid(find_qemu(launcher));
    g_assert_no_errno(kill(test_launcher_find_qemu(launcher), SIGKILL));
    test_process_wait_err(launcher, ": running after ", 2);
    test_wait_readable(qemu, "QEMU's end");
    test_launcher_stop_clean(launcher, SIGTERM, fixture->sandbox);
}

/* It has ended before QEMU could say who it is. */
static void test_leaves_at_once(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu",
                                                        "#!/bin/sh\nmkfifo $0.fifo\n"
                                                        "setsid sh -c 'echo >$0.fifo; exec " QEMU
                                                        "' $0 \"$@\" & read line <$0.fifo\n");
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, "--set", setting, NULL);

    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, "had left what was started as QEMU");
    test_launcher_assert_err(launcher, "has to end in exec");
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *title;
        GTestDataFunc test;
    } tests[] = {{"killed", test_killed},
                 {"stopped", test_stopped},
                 {"restarted", test_restarted},
                 {"migratable", test_migratable}};

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(wrappers); i++)
        for (gsize n = 0; n < G_N_ELEMENTS(tests); n++) {
            g_autofree char *path =
                g_strdup_printf("/wrappers/%s/%s", wrappers[i].title, tests[n].title);
            test_add(path, &wrappers[i], tests[n].test);
        }
    test_add("/wrappers/leaves-at-once", NULL, test_leaves_at_once);
    return g_test_run();
}
