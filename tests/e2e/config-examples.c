/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configurations in conf/examples: each is checked, and run with the built-in guest. Only what
 * belongs to the machine is replaced: ports, and the paths of disks and sockets.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/rows.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    const char *name;
    const char *setting; /* NULL, or with a %u for a port that is free */
    guint first_port;    /* what the number is counted from */
    const char *request; /* NULL: nothing is sent to the port */
    const char *answer;  /* NULL: nothing is read from it */
    const char *log;     /* NULL: the launcher does not notice */
} Case;

static const Case cases[] = {
    {"port-forward", "qemu.netdevs.0.hostfwd.0.str=tcp:127.0.0.1:%u-:22", 0, NULL, NULL, NULL},
    {"gdb", "qemu.extra_args.1=tcp:127.0.0.1:%u", 0, "$qSupported#37", "PacketSize", "paused: "},
    {"display", "qemu.display=vnc=127.0.0.1:%u", 5900, NULL, "RFB 003", NULL},
    {"shared-folder", NULL, 0, NULL, NULL, NULL},
};

static struct sockaddr_in loopback(guint port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((guint16)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static guint find_free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    cvd_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, size));
    g_assert_no_errno(getsockname(fd, (struct sockaddr *)&address, &size));
    return ntohs(address.sin_port);
}

/* QEMU listens before it runs the guest. */
static void talk(guint port, const char *request, const char *answer)
{
    struct sockaddr_in address = loopback(port);
    cvd_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autoptr(GString) received = g_string_new(NULL);

    g_assert_no_errno(connect(fd, (struct sockaddr *)&address, sizeof address));
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

static char *example_path(const char *name)
{
    g_autofree char *file = g_strdup_printf("conf/examples/%s.json", name);

    return test_source_path(file);
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
    g_autofree char *config = example_path(name);

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
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    guint port = find_free_port();
    g_autofree char *setting = NULL;

    if (test->setting != NULL) {
        g_auto(GStrv) parts = g_strsplit(test->setting, "%u", 2);
        setting = g_strdup_printf("--set=%s%u%s", parts[0], port - test->first_port, parts[1]);
    }
    g_autoptr(TestProcess) launcher = start(sandbox, test->name, setting, NULL);
    if (setting != NULL)
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

static char *why_no_swtpm(void)
{
    g_autofree char *path = g_find_program_in_path("swtpm");

    return path != NULL ? NULL : g_strdup("swtpm is not installed");
}

static void inherit(gconstpointer data)
{
    if (fcntl(GPOINTER_TO_INT(data), F_SETFD, 0) < 0)
        _exit(124);
}

/* A swtpm of its own, which ends with QEMU's connection. It is given a socket that listens already.
 */
static void test_tpm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "swtpm.sock");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autofree char *state = g_strdup_printf("dir=%s", sandbox->dir);
    g_autofree char *control = g_strdup_printf("type=unixio,fd=%d", fd);
    g_autofree char *setting =
        g_strdup_printf("--set=qemu.extra_args.1=socket,id=swtpm,path=%s", path);
    const char *argv[] = {"swtpm", "socket", "--tpm2", "--terminate", "--tpmstate",
                          state,   "--ctrl", control,  NULL};

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(fd, 1));
    g_autoptr(TestProcess) swtpm = test_process_start(sandbox, argv, inherit, GINT_TO_POINTER(fd));
    cvd_close_fd(&fd);
    g_autoptr(TestProcess) launcher = start(sandbox, "tpm", setting, NULL);
    test_launcher_stop(launcher, SIGTERM);
    test_process_wait_end(swtpm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_add, "/config-examples/", cases, test_example);
    test_add("/config-examples/two-disks", NULL, test_two_disks);
    test_add_unless("/config-examples/tpm", NULL, test_tpm, why_no_swtpm);
    return g_test_run();
}
