/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/types.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * cvd_list_regions:
 * @socket_path: the client socket
 * @cancellable: (nullable): to give up
 * @error: see #CvdRegionError
 *
 * Returns: (transfer full) (element-type CvdRegionInfo): the regions, in the order of their indices
 */
GArray *cvd_list_regions(const char *socket_path, GCancellable *cancellable, GError **error);

/**
 * cvd_find_client_socket:
 * @name: (nullable): an instance's name; %NULL: the machine that this program was started by, as
 *   CVD_CLIENT_SOCKET says, or the only one that runs
 * @error: %CVD_REGION_ERROR_NO_SERVER: no such instance, or not exactly one runs; the message names
 *   them
 *
 * Looks in the runtime directories: cvd-launch(1), FILES.
 *
 * Returns: (transfer full): the path of its client socket
 */
char *cvd_find_client_socket(const char *name, GError **error);

G_END_DECLS
