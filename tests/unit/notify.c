/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager is told; the manager is a socket of ours. */
#include "base/notify.h"

#include "base/fd.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int manager;

static void use_manager(const char *name)
{
    g_setenv("NOTIFY_SOCKET", name, TRUE);
    cvd_notify_init();
}

static char *receive(int fd)
{
    char text[1024] = "";

    return recv(fd, text, sizeof text - 1, MSG_DONTWAIT) < 0 ? NULL : g_strdup(text);
}

static void test_environment(void)
{
    const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        g_assert_null(g_getenv(names[i]));
}

static void test_ready(void)
{
    cvd_notify_ready();
    g_autofree char *text = receive(manager);
    g_assert_cmpstr(text, ==, "READY=1");
}

static guint n_ready;

static void on_ready(void)
{
    g_autofree char *sent = receive(manager);

    g_assert_null(sent); /* nobody was told before */
    n_ready++;
}

static void test_ready_hook(void)
{
    cvd_notify_when_ready(on_ready);
    cvd_notify_ready();
    g_assert_cmpuint(n_ready, ==, 1);
    cvd_notify_when_ready(NULL);
    g_autofree char *text = receive(manager);
    g_assert_cmpstr(text, ==, "READY=1");
}

/* What QEMU or a user says cannot become another assignment, or a datagram that is too long. */
static void test_odd_values(void)
{
    g_autofree char *longer = g_strnfill(512 + 1, 'x');
    g_autofree char *longest = g_strndup(longer, 512);
    const char *const cases[][2] = {
        {"a\nREADY=1", "a READY=1"}, {"\x1b[1m", "\\x1b[1m"}, {"\xff", "\\xff"},
        {longest, longest},          {longer, longest},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        cvd_notify("STATUS", cases[i][0]);
        g_autofree char *text = receive(manager);
        g_autofree char *expected = g_strconcat("STATUS=", cases[i][1], NULL);
        g_assert_cmpstr(text, ==, expected);
    }
}

static void test_need_time(void)
{
    cvd_notify_need_time(2500000);
    g_autofree char *text = receive(manager);
    g_assert_cmpstr(text, ==, "EXTEND_TIMEOUT_USEC=2500000");
}

/* A manager that wants a sign of life from @pid, at least every @limit_us. */
static void use_watchdog(int pid, const char *limit_us)
{
    g_autofree char *text = g_strdup_printf("%d", pid);

    g_setenv("WATCHDOG_USEC", limit_us, TRUE);
    g_setenv("WATCHDOG_PID", text, TRUE);
    use_manager(address.sun_path);
    test_environment();
}

static void assert_watched(const char *limit_us, gint64 interval_us)
{
    gint64 begin_us = g_get_monotonic_time();

    use_watchdog(getpid(), limit_us);
    cvd_notify_ready();
    g_autofree char *ready = receive(manager);
    g_assert_cmpstr(ready, ==, "READY=1");
    for (guint i = 0; i < 3; i++) {
        g_assert_true(g_main_context_iteration(NULL, TRUE));
        g_autofree char *text = receive(manager);
        g_assert_cmpstr(text, ==, "WATCHDOG=1");
    }
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 3 * interval_us);
}

static void test_watchdog(void)
{
    assert_watched("1", 1000); /* no processor is spent on that */
    assert_watched("20000", 10000);
}

static void test_watchdog_of_another(void)
{
    use_watchdog(getpid() + 1, "20000");
    test_ready();
    g_assert_false(g_main_context_iteration(NULL, FALSE));
}

/* Others have filled its queue: it is told later, in order, and nobody waits meanwhile. */
static void test_full_queue(void)
{
    cvd_autofd other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    while (sendto(other, "x", 1, 0, (const struct sockaddr *)&address, sizeof address) == 1)
        ;
    g_assert_cmpint(errno, ==, EAGAIN);
    cvd_notify("READY", "1");
    cvd_notify("STATUS", "starting");
    cvd_notify("STOPPING", "1");
    cvd_notify("STATUS", "stopping");
    g_assert_false(g_main_context_iteration(NULL, FALSE));
    for (char *text; (text = receive(manager)) != NULL; g_free(text))
        g_assert_cmpstr(text, ==, "x");
    g_assert_true(g_main_context_iteration(NULL, TRUE));
    g_autofree char *told = receive(manager);
    g_assert_cmpstr(told, ==, "READY=1\nSTOPPING=1\nSTATUS=stopping");
    g_assert_null(receive(manager));
    g_assert_false(g_main_context_iteration(NULL, FALSE));
    test_ready();
}

static void test_longest_abstract_name(void)
{
    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    gsize length = sizeof abstract.sun_path - 1;
    g_autofree char *name = g_strdup_printf("@%0*d", (int)length - 1, (int)getpid());
    cvd_autofd other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(abstract.sun_path + 1, name + 1, length - 1);
    g_assert_no_errno(bind(other, (const struct sockaddr *)&abstract,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
    use_manager(name);
    cvd_notify("READY", "1");
    g_autofree char *text = receive(other);
    g_assert_cmpstr(text, ==, "READY=1");
}

static void test_bad_names(void)
{
    g_autofree char *longer = g_strnfill(sizeof address.sun_path, '/');
    const char *const names[] = {"notify", longer};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        use_manager(names[i]);
        test_log_forget();
        cvd_notify("READY", "1");
        g_assert_cmpuint(test_log_count("Invalid argument"), ==, 1);
    }
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("cvdt-notify-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "notify", NULL);

    g_test_init(&argc, &argv, NULL);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_assert_no_errno(bind(manager, (const struct sockaddr *)&address, sizeof address));
    use_manager(path);
    test_log_capture();
    g_test_add_func("/notify/not-in-the-environment-of-others", test_environment);
    g_test_add_func("/notify/ready", test_ready);
    g_test_add_func("/notify/ready-hook", test_ready_hook);
    g_test_add_func("/notify/odd-values", test_odd_values);
    g_test_add_func("/notify/need-time", test_need_time);
    g_test_add_func("/notify/watchdog-of-another-process", test_watchdog_of_another);
    g_test_add_func("/notify/full-queue", test_full_queue);
    g_test_add_func("/notify/longest-abstract-name", test_longest_abstract_name);
    g_test_add_func("/notify/bad-names", test_bad_names);
    g_test_add_func("/notify/watchdog", test_watchdog); /* last, as it goes on */
    int status = g_test_run();
    unlink(path);
    rmdir(dir);
    close(manager);
    return status;
}
