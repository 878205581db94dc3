/* SPDX-License-Identifier: Apache-2.0 */
/* Instances that are asked at the same time, some of which do not answer. */
#include "base/error.h"
#include "base/fd.h"
#include "ctl/ctl.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define N_HUNG        350 /* GTask adds to its threads one after the other, up to 330 */
#define N_ALL         (N_HUNG + 1)
#define NO_LIMIT_MS   (25 * 1000) /* but for a test that fails */
#define HUNG_LIMIT_MS 50

/* Those that hang, and then one that answers. */
typedef struct {
    char *place;
    CvdCtlAnswer answers[N_ALL];
    char *sockets[N_ALL];
    int listeners[N_HUNG];
    guint sources[N_HUNG];
    GArray *accepted;
    GDBusServer *server;
    GPtrArray *connections;
    CvdDBusInstance1 *instance;
    GCancellable *cancellable;
    gboolean is_done;
} Fixture;

/* It is let in, and then hears nothing. */
static gboolean on_connect(int fd, GIOCondition condition, gpointer data)
{
    Fixture *f = data;
    int accepted = accept(fd, NULL, NULL);

    g_array_append_val(f->accepted, accepted);
    return G_SOURCE_CONTINUE;
}

static gboolean on_client(GDBusServer *server, GDBusConnection *connection, gpointer data)
{
    Fixture *f = data;

    g_ptr_array_add(f->connections, g_object_ref(connection));
    g_assert_true(g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(f->instance),
                                                   connection, "/org/cvd/Instance1", NULL));
    return TRUE;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(fd, 4));
    return fd;
}

static void start_server(Fixture *f, const char *path)
{
    g_autofree char *address = g_strdup_printf("unix:path=%s", path);
    g_autofree char *guid = g_dbus_generate_guid();
    g_autoptr(GError) error = NULL;

    f->server = g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(f->server, "new-connection", G_CALLBACK(on_client), f);
    g_dbus_server_start(f->server);
    f->instance = cvd_dbus_instance1_skeleton_new();
    cvd_dbus_instance1_set_state(f->instance, "running");
    cvd_dbus_instance1_set_reason(f->instance, "");
    cvd_dbus_instance1_set_name(f->instance, "healthy");
    cvd_dbus_instance1_set_version(f->instance, "0");
    cvd_dbus_instance1_set_regions(f->instance, g_variant_new("a(suu)", NULL));
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->place = g_dir_make_tmp("unit-XXXXXX", NULL);
    f->accepted = g_array_new(FALSE, FALSE, sizeof(int));
    f->connections = g_ptr_array_new_with_free_func(g_object_unref);
    f->cancellable = g_cancellable_new();
    for (guint i = 0; i < N_ALL; i++) {
        g_autofree char *name = g_strdup_printf("m-%u", i);
        g_autofree char *dir = g_build_filename(f->place, name, NULL);
        g_assert_no_errno(g_mkdir(dir, 0700));
        f->answers[i].socket = f->sockets[i] = g_build_filename(dir, "control.sock", NULL);
        if (i == N_HUNG) {
            start_server(f, f->sockets[i]);
            break;
        }
        f->listeners[i] = listen_at(f->sockets[i]);
        if (i % 2 == 0)
            f->sources[i] = g_unix_fd_add(f->listeners[i], G_IO_IN, on_connect, f);
    }
}

static void tear_down(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < f->accepted->len; i++)
        close(g_array_index(f->accepted, int, i));
    g_dbus_server_stop(f->server);
    g_clear_object(&f->server);
    g_clear_pointer(&f->connections, g_ptr_array_unref);
    g_clear_object(&f->instance);
    for (guint i = 0; i < N_ALL; i++) {
        g_autofree char *dir = g_path_get_dirname(f->sockets[i]);
        if (i < N_HUNG)
            cvd_close_fd(&f->listeners[i]);
        if (i < N_HUNG && f->sources[i] != 0)
            g_source_remove(f->sources[i]);
        g_clear_object(&f->answers[i].instance);
        g_clear_error(&f->answers[i].error);
        g_unlink(f->sockets[i]);
        g_assert_no_errno(g_rmdir(dir));
        g_free(f->sockets[i]);
    }
    g_array_unref(f->accepted);
    g_object_unref(f->cancellable);
    g_assert_no_errno(g_rmdir(f->place));
    g_free(f->place);
}

static void on_asked(gpointer data)
{
    ((Fixture *)data)->is_done = TRUE;
}

/* One that answers does so although all of the others do not, and those end by an interrupt. */
static void test_hung(Fixture *f, gconstpointer data)
{
    cvd_ctl_ask_async(f->answers, N_ALL, NO_LIMIT_MS, f->cancellable, on_asked, f);
    while (f->answers[N_HUNG].instance == NULL && !f->is_done)
        g_main_context_iteration(NULL, TRUE);
    g_assert_false(f->is_done);
    g_assert_cmpstr(cvd_dbus_instance1_get_name(f->answers[N_HUNG].instance), ==, "healthy");
    g_cancellable_cancel(f->cancellable);
    while (!f->is_done)
        g_main_context_iteration(NULL, TRUE);
    for (guint i = 0; i < N_HUNG; i++)
        g_assert_error(f->answers[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void test_time_limit(Fixture *f, gconstpointer data)
{
    cvd_ctl_ask(f->answers, N_HUNG, HUNG_LIMIT_MS, f->cancellable);
    for (guint i = 0; i < N_HUNG; i++) {
        g_assert_null(f->answers[i].instance);
        g_assert_error(f->answers[i].error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    }
}

static void assert_refused(Fixture *f, const char *text)
{
    CvdCtlAnswer *answer = &f->answers[N_HUNG];

    cvd_ctl_ask(answer, 1, NO_LIMIT_MS, f->cancellable);
    g_assert_null(answer->instance);
    g_assert_error(answer->error, CVD_ERROR, CVD_ERROR_FOREIGN);
    if (strstr(answer->error->message, text) == NULL)
        g_error("'%s' does not have '%s'", answer->error->message, text);
    g_clear_error(&answer->error);
    g_assert_cmpuint(f->connections->len, ==, 0);
}

/* Whatever was there when it was looked for. */
static void test_foreign(Fixture *f, gconstpointer data)
{
    const char *path = f->sockets[N_HUNG];
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *real = g_strconcat(dir, ".real", NULL);

    g_assert_no_errno(g_rename(dir, real));
    g_assert_no_errno(symlink(real, dir));
    assert_refused(f, "is not a directory");
    g_assert_no_errno(g_unlink(dir));
    g_assert_no_errno(g_rename(real, dir));
    if (geteuid() == 0) {
        g_assert_no_errno(chown(f->place, 65534, 65534));
        assert_refused(f, "belongs to uid 0, but ");
        g_assert_no_errno(chown(dir, 65534, 65534));
        g_assert_no_errno(chown(path, 65534, 65534));
        assert_refused(f, "belongs to uid 65534, but uid 0 listens there");
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/ctl-connect/hung", test_hung},
        {"/ctl-connect/time-limit", test_time_limit},
        {"/ctl-connect/foreign", test_foreign},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
