/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * cvd_instance_bus_connect:
 * @dir: as of cvd_instance_connect()
 * @callback: called from the default #GMainContext
 *
 * Makes a D-Bus connection to the instance's control socket, in a thread of its own: GTask has ten
 * threads for everything, and instances that do not answer would hold them.
 */
void cvd_instance_bus_connect(const char *dir, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data);

/**
 * cvd_instance_bus_connect_finish:
 * @error: %CVD_ERROR_FOREIGN: as of cvd_instance_connect(); %G_IO_ERROR_CONNECTION_REFUSED: nobody
 *   listens there; other %G_IO_ERROR
 *
 * Returns: (transfer full) (nullable): the connection
 */
GDBusConnection *cvd_instance_bus_connect_finish(GAsyncResult *result, GError **error);

G_END_DECLS
