/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configurations in conf/examples: each is checked, and run with the built-in guest. Only what
 * belongs to the machine is replaced: ports, and the paths of disks. linux-examples.c tries the
 * devices.
 */
#include "base/fd.h"
#include "tests/support/example.h"
#include "tests/support/launcher.h"
#include "tests/support/rows.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *name;
    const char *setting; /* NULL, or with a %u for a port that is free */
    guint first_port;    /* what the number is counted from */
    gboolean is_qemu;    /* who listens there, once the guest runs */
    const char *request; /* NULL: nothing is sent to the port */
    const char *answer;  /* NULL: nothing is read from it */
    const char *log;     /* NULL: the launcher does not notice */
} Case;

static const Case cases[] = {
    {"port-forward", "qemu.netdevs.0.hostfwd.0.str=tcp:127.0.0.1:%u-:22", 0, TRUE, NULL, NULL,
     NULL},
    {"gdb", "qemu.extra_args.1=tcp:127.0.0.1:%u", 0, TRUE, "$qSupported#37", "PacketSize",
     "paused: "},
    {"display", "qemu.display=vnc=127.0.0.1:%u", 5900, TRUE, NULL, "RFB 003", NULL},
    {"shared-folder", NULL, 0, FALSE, NULL, NULL, NULL},
    {"tpm", NULL, 0, FALSE, NULL, NULL, NULL},
    {"vhost-user-disk", NULL, 0, FALSE, NULL, NULL, NULL},
    {"network", "programs.passt.argv.5=127.0.0.1/%u:22", 0, FALSE, NULL, NULL, NULL},
};

/* QEMU listens before it runs the guest. */
static void talk(guint16 port, const char *request, const char *answer)
{
    cvd_autofd fd = test_connect_port(port);
    g_autoptr(GString) received = g_string_new(NULL);

    if (request != NULL)
        g_assert_cmpint(write(fd, request, strlen(request)), ==, (gssize)strlen(request));
    while (answer != NULL && strstr(received->str, answer) == NULL) {
        char bytes[256];
        test_wait_readable(fd, answer);
        gssize n = read(fd, bytes, sizeof bytes);
        g_assert_cmpint(n, >, 0);
        g_string_append_len(received, bytes, n);
    }
}

static void assert_checked(const TestSandbox *sandbox, const char *config, const char *set,
                           const char *more)
{
    g_autoptr(TestProcess) check = test_launch_config(
        sandbox, config, "--check", "--set=qemu.accel=tcg", set, set ? more : NULL, NULL);

    test_launcher_assert_exit(check, 0);
    test_launcher_assert_err(check, "the configuration is fine");
}

static TestProcess *start(const TestSandbox *sandbox, const char *name, const char *set,
                          const char *more)
{
    g_autofree char *config = test_example_copy(sandbox, name);

    assert_checked(sandbox, config, set, more);
    TestProcess *launcher =
        test_launch_config(sandbox, config, "--set=qemu.accel=tcg", set, set ? more : NULL, NULL);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, name, 1);
    return launcher;
}

static void test_example(gconstpointer data)
{
    const Case *test = data;
    g_autofree char *why_not = test_example_why_not(test->name);
    guint16 port = test_find_free_port();
    g_autofree char *setting = NULL;

    if (why_not != NULL) {
        test_skip(why_not);
        return;
    }
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    if (test->setting != NULL) {
        g_auto(GStrv) parts = g_strsplit(test->setting, "%u", 2);
        setting = g_strdup_printf("--set=%s%u%s", parts[0], port - test->first_port, parts[1]);
    }
    g_autoptr(TestProcess) launcher = start(sandbox, test->name, setting, NULL);
    if (test->is_qemu)
        talk(port, test->request, test->answer);
    if (test->log != NULL)
        test_process_wait_err(launcher, test->log, 1);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void test_two_disks(gconstpointer data)
{
    static const char *const names[] = {"system", "data"};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    char *settings[G_N_ELEMENTS(names)];

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *image = test_sandbox_write(sandbox, names[i], "");
        g_assert_no_errno(truncate(image, 1 << 20));
        settings[i] = g_strdup_printf("--set=qemu.blockdevs.%u={\"driver\":\"raw\",\"node-name\":"
                                      "\"%s\",\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                      i, names[i], image);
    }
    g_autoptr(TestProcess) launcher = start(sandbox, "two-disks", settings[0], settings[1]);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        g_free(settings[i]);
}

/* What a back end's end comes to when it is critical, as in the example. */
static void test_killed_back_end(gconstpointer data)
{
    g_autofree char *why_not = test_example_why_not("vhost-user-disk");

    if (why_not != NULL) {
        test_skip(why_not);
        return;
    }
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = start(sandbox, "vhost-user-disk", NULL, NULL);
    g_assert_no_errno(kill(test_sandbox_find_process(sandbox, "qemu-storage"), SIGKILL));
    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, "program storage was killed by signal 9");
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

/* QEMU cannot start without it, and says less of why than the back end does. */
static void test_failed_back_end(gconstpointer data)
{
    g_autofree char *why_not = test_example_why_not("vhost-user-disk");

    if (why_not != NULL) {
        test_skip(why_not);
        return;
    }
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_example_copy(sandbox, "vhost-user-disk");
    g_autofree char *disk = test_example_path(sandbox, "disk.img");
    g_assert_no_errno(unlink(disk));
    g_autoptr(TestProcess) launcher =
        test_launch_config(sandbox, config, "--set=qemu.accel=tcg", NULL);
    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, "storage: qemu-storage-daemon: ");
    test_launcher_assert_err(launcher, "Could not open 'disk.img': No such file");
    test_launcher_assert_err(launcher, "program storage exited with status 1; its output: ");
    test_launcher_assert_err(launcher, "what to do: the program behind the device has ended");
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_add, "/config-examples/", cases, test_example);
    test_add("/config-examples/two-disks", NULL, test_two_disks);
    test_add("/config-examples/failed-back-end", NULL, test_failed_back_end);
    test_add("/config-examples/killed-back-end", NULL, test_killed_back_end);
    return g_test_run();
}
