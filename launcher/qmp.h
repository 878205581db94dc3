/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** CVD_QMP_MAX_PENDING: commands that may wait for their replies at once. */
#define CVD_QMP_MAX_PENDING 64
/** CVD_QMP_MAX_UNREAD: bytes of commands that may wait for QEMU to read them, beyond its socket. */
#define CVD_QMP_MAX_UNREAD (2 * 1024 * 1024)
/** CVD_QMP_MAX_DESCRIPTION: bytes of QEMU's description of an error that are passed on. */
#define CVD_QMP_MAX_DESCRIPTION 512

/** CVD_QMP_TAIL_LINES: messages of either direction that are kept for a report */
#define CVD_QMP_TAIL_LINES 64
/** CVD_QMP_TAIL_LINE_SIZE: bytes of each that are kept */
#define CVD_QMP_TAIL_LINE_SIZE 256

/**
 * CvdQmp:
 *
 * An asynchronous client of QEMU's machine protocol (QEMU's `docs/interop/qmp-spec`) over one
 * stream, in the thread's default #GMainContext. QEMU may be compromised: what it sends is bounded
 * and checked, and a violation ends the connection.
 */
typedef struct CvdQmp CvdQmp;

/**
 * CvdQmpHandlers:
 * @ready: the greeting has come and `qmp_capabilities` was accepted
 * @event: an event came; @data is %NULL when it has none, and borrowed
 * @closed: the connection has ended; @error tells why, and is %NULL after a plain end of stream.
 *   Called once, after every pending command was answered with an error, and never again anything.
 *
 * None of them may free the client.
 */
typedef struct {
    void (*ready)(gpointer user_data);
    void (*event)(const char *name, JsonObject *data, gpointer user_data);
    void (*closed)(const GError *error, gpointer user_data);
} CvdQmpHandlers;

/**
 * CvdQmpReply:
 * @result: (nullable): the `return` value, borrowed; %NULL after a failure
 * @error: (nullable): what QEMU answered instead, or why it never did; %CVD_ERROR_CLOSED: the
 *   connection has ended, of which `closed` tells too
 */
typedef void (*CvdQmpReply)(JsonNode *result, const GError *error, gpointer user_data);

/**
 * cvd_qmp_new:
 * @take_fd: a stream socket whose other end is QEMU's; consumed
 */
CvdQmp *cvd_qmp_new(int take_fd, const CvdQmpHandlers *handlers, gpointer user_data);

/**
 * cvd_qmp_free:
 *
 * Closes the connection without a further call of any handler. Commands that wait for a reply are
 * answered with %CVD_ERROR_CLOSED.
 */
void cvd_qmp_free(CvdQmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdQmp, cvd_qmp_free)

/**
 * cvd_qmp_execute:
 * @command: its name
 * @take_arguments: (transfer full) (nullable): an object
 * @reply: (nullable): called once; at once if the connection has ended or one of the limits above
 *   is reached
 */
void cvd_qmp_execute(CvdQmp *qmp, const char *command, JsonNode *take_arguments, CvdQmpReply reply,
                     gpointer user_data);

/**
 * cvd_qmp_read_rest:
 *
 * Handles what is in the socket already, up to the end of the stream, when QEMU is known to be
 * gone: its last events tell why. A bounded amount, as somebody else may still be writing.
 */
void cvd_qmp_read_rest(CvdQmp *qmp);

/**
 * cvd_qmp_get_tail:
 *
 * Returns: (transfer full) (array zero-terminated=1): the last messages of the conversation, oldest
 *   first, each with `> ` (to QEMU) or `< ` before it; bytes that are not UTF-8 are replaced
 */
char **cvd_qmp_get_tail(const CvdQmp *qmp);

G_END_DECLS
