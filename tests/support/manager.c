/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/manager.h"

#include "base/fd.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

TestManager *test_manager_new(const TestSandbox *sandbox)
{
    TestManager *manager = g_new0(TestManager, 1);
    g_autofree char *path = test_sandbox_path(sandbox, "notify");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    manager->notices = g_string_new("");
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno(bind(manager->fd, (struct sockaddr *)&address, sizeof address));
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    return manager;
}

void test_manager_hide(TestManager *manager)
{
    g_unsetenv("NOTIFY_SOCKET");
}

void test_manager_free(TestManager *manager)
{
    cvd_close_fd(&manager->fd);
    g_string_free(manager->notices, TRUE);
    g_free(manager);
}

void test_manager_receive(TestManager *manager, const char *last)
{
    char text[4096];

    while (strstr(manager->notices->str, last) == NULL) {
        test_wait_readable(manager->fd, last);
        gssize n = recv(manager->fd, text, sizeof text, 0);
        g_assert_cmpint(n, >, 0);
        g_string_append_len(manager->notices, text, n);
        g_string_append_c(manager->notices, '\n');
    }
}
