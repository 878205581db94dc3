/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream has no borders, so a message may come in pieces; a read never asks for more
 * than the rest of one, so that a descriptor always belongs to the message being read.
 */
#include "guests/fake/handover.h"

#include "base/error.h"
#include "base/fd.h"
#include "vsoc/handover.h"

#include <errno.h>

void cvd_handover_init(CvdHandover *handover)
{
    *handover = (CvdHandover)CVD_HANDOVER_INIT;
}

void cvd_handover_set_regions(CvdHandover *handover, guint n_regions)
{
    g_assert(handover->n_messages == VSOC_HANDOVER_FIRST && handover->n_regions == 0 &&
             n_regions > 0);
    handover->n_regions = n_regions;
    handover->guest_to_host = g_new(int, n_regions);
    handover->host_to_guest = g_new(int, n_regions);
    for (guint i = 0; i < n_regions; i++)
        handover->guest_to_host[i] = handover->host_to_guest[i] = -1;
}

static struct vsoc_handover_message get_expected(const CvdHandover *handover)
{
    return vsoc_handover_get(handover->n_messages, handover->n_regions, handover->vm_id);
}

/* Returns: (nullable): where the descriptor of a message goes */
static int *fd_of(CvdHandover *handover, const struct vsoc_handover_message *message)
{
    switch (message->kind) {
    case VSOC_HANDOVER_VERSION:
    case VSOC_HANDOVER_ID:
        return NULL;
    case VSOC_HANDOVER_WINDOW:
        return &handover->window_fd;
    case VSOC_HANDOVER_GUEST_TO_HOST:
        return &handover->guest_to_host[message->region];
    case VSOC_HANDOVER_HOST_TO_GUEST:
        return &handover->host_to_guest[message->region];
    case VSOC_HANDOVER_READY:
        return &handover->ready_fd;
    }
    g_assert_not_reached();
}

static CvdHandoverEvent fail(CvdHandover *handover, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static CvdHandoverEvent fail(CvdHandover *handover, GError **error, const char *format, ...)
{
    static const char *const names[] = {
        [VSOC_HANDOVER_VERSION] = "the protocol's version",
        [VSOC_HANDOVER_ID] = "this VM's ID",
        [VSOC_HANDOVER_WINDOW] = "the window",
        [VSOC_HANDOVER_GUEST_TO_HOST] = "a doorbell of the host",
        [VSOC_HANDOVER_HOST_TO_GUEST] = "a doorbell of the VM",
        [VSOC_HANDOVER_READY] = "the doorbell of readiness",
    };

    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    cvd_fail(error, CVD_ERROR_PROTOCOL, "bad hand-over: message %u, %s: %s",
             handover->n_messages + 1, names[get_expected(handover).kind], what);
    return CVD_HANDOVER_FAILED;
}

static CvdHandoverEvent refused(GError **error)
{
    cvd_fail(error, CVD_ERROR_BUSY,
             "refused: another VM is attached, or the socket is for the VM that the "
             "launcher starts itself (without --serve-only), or for another user's");
    return CVD_HANDOVER_FAILED;
}

/* The VM is one of the two ends, and the server says which. */
static gboolean take_id(CvdHandover *handover, gint64 value)
{
    if (value != 0 && value != 1)
        return FALSE;
    handover->vm_id = (guint)value;
    return TRUE;
}

static CvdHandoverEvent take_message(CvdHandover *handover, GError **error)
{
    struct vsoc_handover_message expected = get_expected(handover);
    int *fd = fd_of(handover, &expected);
    gint64 value = vsoc_handover_decode(handover->bytes);

    if (handover->n_messages == 0 && value == VSOC_HANDOVER_REFUSAL)
        return refused(error);
    if (expected.kind == VSOC_HANDOVER_ID) {
        if (!take_id(handover, value))
            return fail(handover, error, "the number is %" G_GINT64_FORMAT " instead of 0 or 1",
                        value);
    } else if (value != expected.value)
        return fail(handover, error,
                    "the number is %" G_GINT64_FORMAT " instead of %" G_GINT64_FORMAT, value,
                    expected.value);
    if (fd == NULL && handover->fd >= 0)
        return fail(handover, error, "it has a descriptor, where none belongs");
    if (fd != NULL && handover->fd < 0)
        return fail(handover, error,
                    "its descriptor is missing (or none was free here: see ulimit -n)");
    if (fd != NULL && *fd >= 0)
        return fail(handover, error, "it comes a second time");
    if (fd != NULL)
        *fd = g_steal_fd(&handover->fd);
    handover->n_bytes = 0;
    handover->n_messages++;
    if (handover->n_messages == VSOC_HANDOVER_FIRST)
        return CVD_HANDOVER_WINDOW;
    if (expected.kind == VSOC_HANDOVER_READY)
        return CVD_HANDOVER_READY;
    return handover->n_regions > 0 &&
                   handover->n_messages == vsoc_handover_count(handover->n_regions)
               ? CVD_HANDOVER_DONE
               : CVD_HANDOVER_MORE;
}

static CvdHandoverEvent closed(const CvdHandover *handover, GError **error)
{
    if (handover->n_messages == 0 && handover->n_bytes == 0)
        return refused(error); /* as by a server that sends no version first */
    cvd_fail(error, CVD_ERROR_CLOSED,
             "the server closed the connection in the hand-over, after %u messages",
             handover->n_messages);
    return CVD_HANDOVER_FAILED;
}

/* Returns: whether the message has at most one descriptor */
static gboolean take_fds(CvdHandover *handover, int fds[CVD_MAX_PASSED_FDS])
{
    gboolean is_fine = TRUE;

    for (guint i = 0; i < CVD_MAX_PASSED_FDS; i++) {
        cvd_autofd fd = fds[i];
        if (fd >= 0 && handover->fd >= 0)
            is_fine = FALSE;
        else if (fd >= 0)
            handover->fd = g_steal_fd(&fd);
    }
    return is_fine;
}

CvdHandoverEvent cvd_handover_read(CvdHandover *handover, int socket, GError **error)
{
    int fds[CVD_MAX_PASSED_FDS];
    gssize n =
        cvd_socket_receive(socket, handover->bytes + handover->n_bytes,
                           sizeof handover->bytes - handover->n_bytes, fds, G_N_ELEMENTS(fds));

    if (n < 0 && errno == EAGAIN)
        return CVD_HANDOVER_EMPTY;
    if (n < 0 && errno != ECONNRESET) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "hand-over: recvmsg");
        return CVD_HANDOVER_FAILED;
    }
    if (n <= 0)
        return closed(handover, error);
    handover->n_bytes += (guint)n;
    if (!take_fds(handover, fds))
        return fail(handover, error, "it has more than one descriptor");
    if (handover->n_bytes < sizeof handover->bytes)
        return CVD_HANDOVER_MORE;
    return take_message(handover, error);
}

void cvd_handover_clear(CvdHandover *handover)
{
    for (guint i = 0; i < handover->n_regions; i++) {
        cvd_close_fd(&handover->guest_to_host[i]);
        cvd_close_fd(&handover->host_to_guest[i]);
    }
    g_clear_pointer(&handover->guest_to_host, g_free);
    g_clear_pointer(&handover->host_to_guest, g_free);
    cvd_close_fd(&handover->window_fd);
    cvd_close_fd(&handover->ready_fd);
    cvd_close_fd(&handover->fd);
    handover->n_regions = 0;
}
