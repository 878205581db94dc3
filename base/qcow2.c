/* SPDX-License-Identifier: Apache-2.0 */
#include "base/qcow2.h"

#include <errno.h>
#include <unistd.h>

#define MAGIC    0x514649fb
#define MAX_NAME 1023

gboolean cvd_qcow2_read(int fd, CvdQcow2 *header)
{
    struct { /* big-endian */
        guint32 magic;
        guint32 version;
        guint64 backing_offset;
        guint32 backing_size;
        guint32 cluster_bits;
        guint64 size;
    } head;

    if (TEMP_FAILURE_RETRY(pread(fd, &head, sizeof head, 0)) != sizeof head)
        return FALSE;
    *header = (CvdQcow2){
        .size = GUINT64_FROM_BE(head.size),
        .backing_offset = GUINT64_FROM_BE(head.backing_offset),
        .backing_size = GUINT32_FROM_BE(head.backing_size),
    };
    return GUINT32_FROM_BE(head.magic) == MAGIC;
}

char *cvd_qcow2_read_backing_file(int fd)
{
    CvdQcow2 header;

    if (!cvd_qcow2_read(fd, &header) || header.backing_offset == 0 || header.backing_size == 0 ||
        header.backing_size > MAX_NAME)
        return NULL;
    g_autofree char *name = g_malloc0(header.backing_size + 1);
    gssize n = pread(fd, name, header.backing_size, (off_t)header.backing_offset);
    return n == header.backing_size ? g_steal_pointer(&name) : NULL;
}
