/* SPDX-License-Identifier: Apache-2.0 */
#include "client/instance.h"

#include "base/instance.h"
#include "client/handshake.h"

GArray *cvd_list_regions(const char *socket_path, GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(socket_path != NULL, NULL);
    g_autoptr(CvdHandshake) handshake =
        cvd_handshake_new(socket_path, NULL, CVD_HANDSHAKE_LIMIT_MS);

    if (!cvd_handshake_run(handshake, cancellable, error))
        return NULL;
    return g_steal_pointer(&cvd_handshake_get_result(handshake)->regions);
}

char *cvd_find_client_socket(const char *name, GError **error)
{
    g_autoptr(GError) problem = NULL;
    const char *own = g_getenv("CVD_CLIENT_SOCKET");

    if (name == NULL && own != NULL && own[0] != '\0')
        return g_strdup(own);
    char *path = cvd_instance_find_socket(name, "client.sock", &problem);

    /* The base library's error domain is not part of this library's interface. */
    if (path == NULL)
        g_set_error_literal(error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER, problem->message);
    return path;
}
