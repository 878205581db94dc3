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
    char text[256] = "";

    return recv(fd, text, sizeof text - 1, MSG_DONTWAIT) < 0 ? NULL : g_strdup(text);
}

static void test_environment(void)
{
    g_assert_null(g_getenv("NOTIFY_SOCKET"));
}

static void test_ready(void)
{
    cvd_notify("READY=1");
    g_autofree char *text = receive(manager);
    g_assert_cmpstr(text, ==, "READY=1");
}

/* Others have filled its queue: it is told later, in order, and nobody waits meanwhile. */
static void test_full_queue(void)
{
    cvd_autofd other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    while (sendto(other, "x", 1, 0, (const struct sockaddr *)&address, sizeof address) == 1)
        ;
    g_assert_cmpint(errno, ==, EAGAIN);
    cvd_notify("READY=1");
    cvd_notify("STOPPING=1");
    g_assert_false(g_main_context_iteration(NULL, FALSE));
    for (char *text; (text = receive(manager)) != NULL; g_free(text))
        g_assert_cmpstr(text, ==, "x");
    g_assert_true(g_main_context_iteration(NULL, TRUE));
    g_autofree char *told = receive(manager);
    g_assert_cmpstr(told, ==, "READY=1\nSTOPPING=1");
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
    cvd_notify("READY=1");
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
        cvd_notify("READY=1");
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
    g_test_add_func("/notify/full-queue", test_full_queue);
    g_test_add_func("/notify/longest-abstract-name", test_longest_abstract_name);
    g_test_add_func("/notify/bad-names", test_bad_names);
    int status = g_test_run();
    unlink(path);
    rmdir(dir);
    close(manager);
    return status;
}
