/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdQcow2: what the header of a qcow2 file says (QEMU's docs/interop/qcow2.txt) */
typedef struct {
    guint64 size;           /* of the disk, in bytes */
    guint64 backing_offset; /* of the backing file's name in the file; 0 = it has none */
    guint32 backing_size;   /* of that name, in bytes */
} CvdQcow2;

/** cvd_qcow2_read: @fd: a file; @header: (out); Returns: whether it is a qcow2 */
gboolean cvd_qcow2_read(int fd, CvdQcow2 *header);

/** cvd_qcow2_read_backing_file: Returns: (transfer full) (nullable): the name of what the file @fd
 * is an overlay over, as it stands there */
char *cvd_qcow2_read_backing_file(int fd);

G_END_DECLS
