/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*< private >*/
/**
 * CvdQmpOutbox:
 * @bytes: what the socket has not taken yet
 * @writable: (nullable): only while @bytes wait for room
 *
 * The sending side of a QMP connection, in the thread's default #GMainContext. An error of the
 * socket ends nothing: it is seen by who reads, after the last events before it.
 */
typedef struct {
    int socket;
    GByteArray *bytes;
    GSource *writable;
    int passed_fd;   /* goes with the byte at @passed_at; −1 = none */
    gsize passed_at; /* in @bytes */
    void (*emptied)(gpointer user_data);
    gpointer user_data;
} CvdQmpOutbox;

/**
 * cvd_qmp_outbox_init:
 * @socket: a stream socket; borrowed
 * @emptied: called when what had to wait for room is gone
 */
void cvd_qmp_outbox_init(CvdQmpOutbox *outbox, int socket, void (*emptied)(gpointer user_data),
                         gpointer user_data);
/** cvd_qmp_outbox_clear: sends nothing any more; before the socket is closed. Idempotent. */
void cvd_qmp_outbox_clear(CvdQmpOutbox *outbox);

/**
 * cvd_qmp_outbox_send:
 * @command: its text, without the end of the line
 * @take_fd: a descriptor that goes with its first byte, or −1; there must not be another that waits
 *
 * A descriptor that cannot be sent is left out, which QEMU answers with an error.
 */
void cvd_qmp_outbox_send(CvdQmpOutbox *outbox, const char *command, int take_fd);

/** cvd_qmp_outbox_get_unread: Returns: bytes that QEMU has not read, also those in the socket */
gsize cvd_qmp_outbox_get_unread(const CvdQmpOutbox *outbox);

G_END_DECLS
