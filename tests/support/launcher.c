/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program under test, and a second QMP connection to its QEMU. The latter listens on an
 * abstract socket, which vanishes with QEMU however that ends.
 */
#include "tests/support/launcher.h"

#include "base/fd.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *test_launcher_path(void)
{
    const char *path = g_getenv("CVD_LAUNCH");

    if (path == NULL)
        g_error("CVD_LAUNCH is not set: run the tests through scripts/test or `meson test`");
    return path;
}

TestProcess *test_launch_with(const TestSandbox *sandbox, const char *name, const char *const *args,
                              TestProcessSetup setup, gconstpointer data)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *fixed[] = {test_launcher_path(), "--config", config, "--name", name, "--set",
                           "qemu.accel=tcg"};

    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (char *)fixed[i]);
    for (; *args != NULL; args++)
        g_ptr_array_add(argv, (char *)*args);
    g_ptr_array_add(argv, NULL);
    return test_process_start(sandbox, (const char *const *)argv->pdata, setup, data);
}

static GPtrArray *collect(va_list args)
{
    GPtrArray *array = g_ptr_array_new();
    char *arg;

    do {
        arg = va_arg(args, char *);
        g_ptr_array_add(array, arg);
    } while (arg != NULL);
    return array;
}

TestProcess *test_launch(const TestSandbox *sandbox, const char *name, ...)
{
    va_list list;

    va_start(list, name);
    g_autoptr(GPtrArray) args = collect(list);
    va_end(list);
    return test_launch_with(sandbox, name, (const char *const *)args->pdata, NULL, NULL);
}

TestProcess *test_launch_config(const TestSandbox *sandbox, const char *config, ...)
{
    va_list list;

    va_start(list, config);
    g_autoptr(GPtrArray) argv = collect(list);
    va_end(list);
    const char *fixed[] = {test_launcher_path(), "--config", config};
    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_insert(argv, (int)i, (char *)fixed[i]);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

char *test_write_config(const TestSandbox *sandbox, guint n_regions)
{
    g_autofree char *layout = test_layout_text(n_regions);
    g_autofree char *text =
        g_strdup_printf("{\"layout\":%s,\"qemu\":{\"kernel\":\"builtin\"}}", layout);

    return test_sandbox_write(sandbox, "cvd.json", text);
}

char *test_write_layout(const TestSandbox *sandbox, guint n_regions)
{
    g_autofree char *text = test_layout_text(n_regions);
    g_autofree char *path = test_sandbox_write(sandbox, "layout.json", text);

    return g_strdup_printf("layout=%s", path);
}

gboolean test_skip_without_fds(guint n_regions)
{
    struct rlimit limit;

    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_max >= 2 * n_regions + 64)
        return FALSE;
    test_skip("the hard limit of file descriptors is too low for so many regions");
    return TRUE;
}

void test_launcher_wait_running(TestProcess *launcher)
{
    test_process_wait_err(launcher, ": running after ", 1);
}

void test_launcher_wait_guest(const TestSandbox *sandbox, const char *name, guint n)
{
    g_autofree char *console = test_sandbox_instance_path(sandbox, name, "console.log");

    test_wait_file(console, "cvd-guest: ready", n);
}

pid_t test_launcher_find_qemu(const TestProcess *launcher)
{
    pid_t pid = test_find_child(launcher->pid);

    if (pid == 0)
        test_process_fail(launcher, "it has no QEMU");
    return pid;
}

void test_launcher_assert_exit(TestProcess *launcher, int expected)
{
    int status = test_process_wait_exit(launcher);

    if (status != expected)
        test_process_fail(launcher, "exit status %d instead of %d", status, expected);
    if (strstr(launcher->err->str, ": assertion '") != NULL)
        test_process_fail(launcher, "an assertion failed");
}

void test_launcher_stop(TestProcess *launcher, int number)
{
    test_process_signal(launcher, number);
    test_launcher_assert_exit(launcher, 0);
}

void test_launcher_stop_clean(TestProcess *launcher, int number, const TestSandbox *sandbox)
{
    test_launcher_stop(launcher, number);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

void test_launcher_assert_err(const TestProcess *launcher, const char *text)
{
    if (strcasestr(launcher->err->str, text) == NULL)
        test_process_fail(launcher, "stderr does not have '%s'", text);
}

static char *monitor_name(const TestSandbox *sandbox)
{
    return g_strdup_printf("%s-monitor", sandbox->token);
}

char *test_monitor_argument(const TestSandbox *sandbox)
{
    g_autofree char *name = monitor_name(sandbox);

    return g_strdup_printf("qemu.extra_args=[\"-chardev\",\"socket,id=monitor2,abstract=on,path=%s,"
                           "server=on,wait=off\",\"-mon\",\"chardev=monitor2,mode=control\"]",
                           name);
}

struct TestMonitor {
    int fd;
    GString *unread;
    GPtrArray *events;
};

static char *read_line(TestMonitor *monitor)
{
    char *end;

    while ((end = strchr(monitor->unread->str, '\n')) == NULL) {
        char buffer[4096];
        test_wait_readable(monitor->fd, "QMP");
        gssize n = read(monitor->fd, buffer, sizeof buffer);
        if (n <= 0)
            g_error("QMP: QEMU closed the connection");
        g_string_append_len(monitor->unread, buffer, n);
    }
    char *line = g_strndup(monitor->unread->str, (gsize)(end - monitor->unread->str));
    g_string_erase(monitor->unread, 0, end - monitor->unread->str + 1);
    return line;
}

static void connect_abstract(int fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy(address.sun_path + 1, name, sizeof address.sun_path - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    if (connect(fd, (struct sockaddr *)&address, size) < 0)
        g_error("@%s: %s", name, g_strerror(errno));
}

TestMonitor *test_monitor_connect(const TestSandbox *sandbox)
{
    TestMonitor *monitor = g_new0(TestMonitor, 1);
    g_autofree char *name = monitor_name(sandbox);

    monitor->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    monitor->unread = g_string_new(NULL);
    monitor->events = g_ptr_array_new_with_free_func(g_free);
    connect_abstract(monitor->fd, name);
    g_autofree char *greeting = read_line(monitor);
    g_assert_nonnull(strstr(greeting, "\"QMP\""));
    g_autofree char *reply = test_monitor_execute(monitor, "qmp_capabilities");
    g_assert_nonnull(strstr(reply, "\"return\""));
    return monitor;
}

/* Events may come before the reply that they belong to. */
char *test_monitor_execute(TestMonitor *monitor, const char *command)
{
    g_autofree char *text = g_strdup_printf("{\"execute\":\"%s\"}\n", command);

    g_assert_cmpint(send(monitor->fd, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
    for (;;) {
        g_autofree char *line = read_line(monitor);
        if (strstr(line, "\"event\"") == NULL)
            return g_steal_pointer(&line);
        g_ptr_array_add(monitor->events, g_steal_pointer(&line));
    }
}

void test_monitor_wait_event(TestMonitor *monitor, const char *event)
{
    g_autofree char *wanted = g_strdup_printf("\"event\": \"%s\"", event);

    for (guint i = 0;; i++) {
        if (i == monitor->events->len)
            g_ptr_array_add(monitor->events, read_line(monitor));
        if (strstr(g_ptr_array_index(monitor->events, i), wanted) != NULL) {
            g_ptr_array_remove_index(monitor->events, i);
            return;
        }
    }
}

void test_monitor_free(TestMonitor *monitor)
{
    cvd_close_fd(&monitor->fd);
    g_string_free(monitor->unread, TRUE);
    g_ptr_array_unref(monitor->events);
    g_free(monitor);
}
