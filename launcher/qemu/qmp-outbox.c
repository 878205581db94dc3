/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/qmp-outbox.h"

#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

/* The kernel counts a piece as unread until all of it was read. */
#define WRITE_SIZE 16384

void cvd_qmp_outbox_init(CvdQmpOutbox *outbox, int socket, void (*emptied)(gpointer user_data),
                         gpointer user_data)
{
    *outbox = (CvdQmpOutbox){
        .socket = socket,
        .bytes = g_byte_array_new(),
        .passed_fd = -1,
        .emptied = emptied,
        .user_data = user_data,
    };
}

void cvd_qmp_outbox_clear(CvdQmpOutbox *outbox)
{
    cvd_source_clear(&outbox->writable);
    cvd_close_fd(&outbox->passed_fd);
    g_clear_pointer(&outbox->bytes, g_byte_array_unref);
}

/* A piece ends before the byte that a descriptor goes with. Returns: whether it went, and nothing
 * is to be waited for */
static gboolean send_piece(CvdQmpOutbox *outbox)
{
    gsize size = MIN(outbox->bytes->len, WRITE_SIZE);
    gboolean is_passing = outbox->passed_fd >= 0 && outbox->passed_at == 0;

    if (outbox->passed_fd >= 0 && !is_passing)
        size = MIN(size, outbox->passed_at);
    gssize n = cvd_socket_send(outbox->socket, outbox->bytes->data, size,
                               is_passing ? &outbox->passed_fd : NULL, is_passing);
    if (n < 0 && errno == EAGAIN)
        return FALSE;
    if (is_passing)
        cvd_close_fd(&outbox->passed_fd);
    if (n < 0) /* ETOOMANYREFS concerns the descriptor alone */
        return is_passing;
    if (outbox->passed_fd >= 0)
        outbox->passed_at -= (gsize)n;
    g_byte_array_remove_range(outbox->bytes, 0, (guint)n);
    return TRUE;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data);

static void flush(CvdQmpOutbox *outbox)
{
    while (outbox->bytes->len > 0)
        if (!send_piece(outbox)) {
            if (errno == EAGAIN)
                outbox->writable =
                    cvd_source_watch_fd(outbox->socket, G_IO_OUT, on_writable, outbox);
            return;
        }
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    CvdQmpOutbox *outbox = data;

    cvd_source_clear(&outbox->writable);
    flush(outbox);
    if (outbox->bytes->len == 0)
        outbox->emptied(outbox->user_data);
    return G_SOURCE_REMOVE;
}

void cvd_qmp_outbox_send(CvdQmpOutbox *outbox, const char *command, int take_fd)
{
    if (take_fd >= 0) {
        g_assert(outbox->passed_fd < 0);
        outbox->passed_fd = take_fd;
        outbox->passed_at = outbox->bytes->len;
    }
    g_byte_array_append(outbox->bytes, (const guint8 *)command, (guint)strlen(command));
    g_byte_array_append(outbox->bytes, (const guint8 *)"\n", 1);
    if (outbox->writable == NULL)
        flush(outbox);
}

gsize cvd_qmp_outbox_get_unread(const CvdQmpOutbox *outbox)
{
    int n_in_socket = 0;

    ioctl(outbox->socket, SIOCOUTQ, &n_in_socket);
    return outbox->bytes->len + (gsize)n_in_socket;
}
