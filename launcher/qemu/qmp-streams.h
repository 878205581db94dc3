/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/** CVD_QMP_MAX_STREAMS: open at once */
#define CVD_QMP_MAX_STREAMS 8
/** CVD_QMP_MAX_COMMAND: bytes of a command on a stream */
#define CVD_QMP_MAX_COMMAND (1024 * 1024)
/** CVD_QMP_MAX_UNREAD_EVENTS: bytes of events that may wait for a stream's client to read them */
#define CVD_QMP_MAX_UNREAD_EVENTS (1024 * 1024)

/**
 * CvdQmpStreams:
 *
 * QMP for other programs, beside the launcher's own and over the same connection to QEMU: each
 * stream is one of QMP from the greeting on, with commands that are answered in order, ids, and
 * events. QEMU carries out the commands of all of them one by one. In the thread's default
 * #GMainContext.
 *
 * A client is not trusted: of each there is one command under way, and nothing more is read while
 * much waits for it to be read. One that leaves events unread loses its stream.
 */
typedef struct CvdQmpStreams CvdQmpStreams;

/**
 * cvd_qmp_streams_new:
 * @qmp: the connection to QEMU; borrowed, outlives the streams
 */
CvdQmpStreams *cvd_qmp_streams_new(CvdQmp *qmp);
/** cvd_qmp_streams_free: ends all of them, as cvd_qmp_streams_end() does */
void cvd_qmp_streams_free(CvdQmpStreams *streams);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdQmpStreams, cvd_qmp_streams_free)

/**
 * cvd_qmp_streams_open:
 * @error: %CVD_ERROR_BUSY: there are %CVD_QMP_MAX_STREAMS already; %CVD_ERROR_CLOSED: QEMU has not
 *   greeted yet, or has closed the connection; %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): the client's end of a new stream; −1 on failure
 */
int cvd_qmp_streams_open(CvdQmpStreams *streams, GError **error);

/** cvd_qmp_streams_send_event: sends an event, as QEMU sent it, to all that have negotiated */
void cvd_qmp_streams_send_event(CvdQmpStreams *streams, CvdJsonSpan event);

/** cvd_qmp_streams_end: closes all of them, after what goes without waiting was written; there are
 * no further ones */
void cvd_qmp_streams_end(CvdQmpStreams *streams);

G_END_DECLS
