/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * cvd_sparse_pack:
 * @from: a file or memory
 * @to: an empty file
 * @error: as cvd_sparse_copy()
 *
 * Writes what zstd(1) would, without reading holes.
 */
gboolean cvd_sparse_pack(int from, int to, GCancellable *cancellable, GError **error);

/**
 * cvd_sparse_unpack:
 * @from: what zstd(1) has packed; may hold anything
 * @to: as of cvd_sparse_target_open()
 * @size: in bytes, of what was packed
 * @error: as cvd_sparse_copy(); %CVD_ERROR_INVALID: that is not packed, or of another size
 *
 * Makes the content of @to what was packed. Never writes beyond @size.
 */
gboolean cvd_sparse_unpack(int from, int to, guint64 size, GCancellable *cancellable,
                           GError **error);

G_END_DECLS
