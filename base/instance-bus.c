/* SPDX-License-Identifier: Apache-2.0 */
#include "base/instance-bus.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"

/* As GIO has it of a connection; what is not the instance's stays what it is. */
static void translate(GError *error)
{
    if (error->domain != CVD_ERROR || error->code == CVD_ERROR_FOREIGN)
        return;
    error->code = error->code == CVD_ERROR_CLOSED ? G_IO_ERROR_CONNECTION_REFUSED : G_IO_ERROR_BUSY;
    error->domain = G_IO_ERROR;
}

static GDBusConnection *connect_bus(const char *dir, GCancellable *cancellable, GError **error)
{
    cvd_autofd fd = cvd_instance_connect(dir, error);
    g_autoptr(GSocket) socket = fd >= 0 ? g_socket_new_from_fd(fd, error) : NULL;

    if (socket == NULL)
        return NULL;
    fd = -1; /* it is the socket's */
    g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);
    return g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
                                      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                      cancellable, error);
}

static gpointer run(gpointer data)
{
    g_autoptr(GTask) task = data;
    GError *error = NULL;
    GDBusConnection *connection =
        connect_bus(g_task_get_task_data(task), g_task_get_cancellable(task), &error);

    if (connection != NULL) {
        g_task_return_pointer(task, connection, g_object_unref);
    } else {
        translate(error);
        g_task_return_error(task, error);
    }
    return NULL;
}

void cvd_instance_bus_connect(const char *dir, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data)
{
    GTask *task = g_task_new(NULL, cancellable, callback, user_data);
    GError *error = NULL;

    g_task_set_task_data(task, g_strdup(dir), g_free);
    GThread *thread = g_thread_try_new("connect", run, g_object_ref(task), &error);
    if (thread != NULL) {
        g_thread_unref(thread);
    } else {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_FAILED, "no thread: %s",
                                error->message);
        g_error_free(error);
        g_object_unref(task);
    }
    g_object_unref(task);
}

GDBusConnection *cvd_instance_bus_connect_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}
