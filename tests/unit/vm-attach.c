/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that connects, takes the window and goes by its header, against a server of the test's. */
#include "guests/fake/attach.h"

#include "base/error.h"
#include "base/fd.h"
#include "vsoc/abi.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A server that lets one VM in, sends the start of a hand-over, and closes. */
typedef struct {
    char *dir;
    char *path;
    int listening_fd;
    int stop_fd; /* readable: the VM is to stop */
    int window_fd;
    guint n_regions; /* of which it sends doorbells */
    guint n_messages;
    GThread *thread;
} Server;

static void send_message(int connection, gint64 value, int fd)
{
    gint64 message = GINT64_TO_LE(value);

    /* It may have gone: then it has what it wanted. */
    cvd_socket_send(connection, &message, sizeof message, &fd, fd >= 0 ? 1 : 0);
}

static gpointer serve(gpointer data)
{
    Server *server = data;
    cvd_autofd connection = accept4(server->listening_fd, NULL, NULL, SOCK_CLOEXEC);
    cvd_autofd doorbell = eventfd(0, EFD_CLOEXEC);

    for (guint i = 0; i < server->n_messages; i++) {
        gboolean is_own = i >= 3 + server->n_regions;
        if (i < 2)
            send_message(connection, i, -1);
        else if (i == 2)
            send_message(connection, -1, server->window_fd);
        else
            send_message(connection, is_own ? 1 : 0, doorbell);
    }
    return NULL;
}

static Server *server_new(gsize window_size, guint region_count, guint n_messages)
{
    Server *server = g_new0(Server, 1);
    struct vsoc_shm_layout_descriptor header = {.major_version = 2, .region_count = region_count};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    server->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    server->path = g_build_filename(server->dir, "vm", NULL);
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->window_fd = memfd_create("window", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(server->window_fd, (off_t)window_size), ==, 0);
    if (window_size > 0)
        g_assert_cmpint(pwrite(server->window_fd, &header, sizeof header, 0), ==, sizeof header);
    server->n_regions = region_count;
    server->n_messages = n_messages;
    server->listening_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, server->path, sizeof address.sun_path);
    g_assert_cmpint(bind(server->listening_fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(server->listening_fd, 1), ==, 0);
    server->thread = g_thread_new("server", serve, server);
    return server;
}

static void server_free(Server *server)
{
    g_thread_join(server->thread);
    cvd_close_fd(&server->listening_fd);
    cvd_close_fd(&server->stop_fd);
    cvd_close_fd(&server->window_fd);
    g_unlink(server->path);
    g_rmdir(server->dir);
    g_free(server->path);
    g_free(server->dir);
    g_free(server);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Server, server_free)

static void assert_fails(gsize window_size, guint region_count, guint n_messages, int code,
                         const char *text)
{
    g_autoptr(Server) server = server_new(window_size, region_count, n_messages);
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    g_autoptr(GError) error = NULL;
    CvdVmOptions options = {0};

    g_assert_cmpint(cvd_vm_attach(&attachment, server->path, server->stop_fd, &options, &error), ==,
                    CVD_VM_FAILED);
    g_assert_error(error, CVD_ERROR, code);
    g_assert_true(g_str_has_prefix(error->message, server->path));
    if (strstr(error->message, text) == NULL)
        g_error("'%s' does not have '%s'", error->message, text);
}

static void test_attached(gconstpointer data)
{
    g_autoptr(Server) server = server_new(8192, 3, 9);
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    CvdVmOptions options = {.slow_ms = GPOINTER_TO_UINT(data)};
    g_autoptr(GError) error = NULL;

    CvdVmAttachResult result =
        cvd_vm_attach(&attachment, server->path, server->stop_fd, &options, &error);
    g_assert_no_error(error);
    g_assert_cmpint(result, ==, CVD_VM_ATTACHED);
    g_assert_cmpuint(attachment.handover.n_regions, ==, 3);
    g_assert_cmpuint(attachment.size, ==, 8192);
    g_assert_cmpint(pwrite(server->window_fd, "w", 1, 8191), ==, 1);
    g_assert_cmpint(attachment.map[8191], ==, 'w');
}

static void test_refused(void)
{
    assert_fails(4096, 1, 0, CVD_ERROR_BUSY, "refused");
}

static void test_closed_in_the_middle(void)
{
    for (guint n = 1; n < 9; n++) {
        g_autofree char *text = g_strdup_printf("after %u messages", n);
        assert_fails(4096, 3, n, CVD_ERROR_CLOSED, text);
    }
}

static void test_bad_windows(void)
{
    assert_fails(0, 1, 3, CVD_ERROR_PROTOCOL, "it has 0 bytes");
    assert_fails(2048, 1, 3, CVD_ERROR_PROTOCOL, "it has 2048 bytes");
    assert_fails(12288, 1, 3, CVD_ERROR_PROTOCOL, "power of two");
    assert_fails(4096, 0, 3, CVD_ERROR_PROTOCOL, "region_count is 0");
    assert_fails(4096, 2049, 3, CVD_ERROR_PROTOCOL, "region_count is 2049 instead of 1 to 2048");
    assert_fails(4096, 2048, 3, CVD_ERROR_CLOSED, "after 3 messages");
}

static void test_other_number_of_doorbells(void)
{
    g_autoptr(Server) server = server_new(4096, 3, 9);
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    CvdVmOptions options = {0};
    g_autoptr(GError) error = NULL;
    guint32 region_count = 4;

    /* The server is the one that still believes in three. */
    g_assert_cmpint(pwrite(server->window_fd, &region_count, sizeof region_count, 8), ==,
                    sizeof region_count);
    g_assert_cmpint(cvd_vm_attach(&attachment, server->path, server->stop_fd, &options, &error), ==,
                    CVD_VM_FAILED);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_PROTOCOL);
    g_assert_nonnull(strstr(error->message, "message 7, a doorbell of the host: the number is 1"));
}

static void test_nobody_there(void)
{
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    CvdVmOptions options = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *long_path = g_strnfill(108, 'a');

    g_assert_cmpint(cvd_vm_attach(&attachment, "/nonexistent/vm", -1, &options, &error), ==,
                    CVD_VM_FAILED);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_CLOSED);
    g_assert_nonnull(strstr(error->message, "/nonexistent/vm: cannot connect"));
    g_clear_error(&error);
    g_assert_cmpint(cvd_vm_attach(&attachment, long_path, -1, &options, &error), ==, CVD_VM_FAILED);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_cmpint(cvd_vm_attach(&attachment, long_path + 1, -1, &options, &error), ==,
                    CVD_VM_FAILED);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_CLOSED);
}

/* However long a slow VM has to wait: a stop comes first. */
static void test_stopped(void)
{
    g_autoptr(Server) server = server_new(4096, 1, 5);
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    CvdVmOptions options = {.slow_ms = CVD_VM_MAX_SLOW_MS};
    guint64 one = 1;

    g_assert_cmpint(write(server->stop_fd, &one, sizeof one), ==, sizeof one);
    g_assert_cmpint(cvd_vm_attach(&attachment, server->path, server->stop_fd, &options, NULL), ==,
                    CVD_VM_STOPPED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/vm-attach/attached", GUINT_TO_POINTER(0), test_attached);
    g_test_add_data_func("/vm-attach/attached-slowly", GUINT_TO_POINTER(1), test_attached);
    g_test_add_func("/vm-attach/refused", test_refused);
    g_test_add_func("/vm-attach/closed-in-the-middle", test_closed_in_the_middle);
    g_test_add_func("/vm-attach/bad-windows", test_bad_windows);
    g_test_add_func("/vm-attach/other-number-of-doorbells", test_other_number_of_doorbells);
    g_test_add_func("/vm-attach/nobody-there", test_nobody_there);
    g_test_add_func("/vm-attach/stopped", test_stopped);
    return g_test_run();
}
