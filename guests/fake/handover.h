/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/handover.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdHandover:
 * @n_regions: as told with cvd_handover_set_regions(), 0 before
 * @n_messages: how many were taken
 * @vm_id: the VM's number among the peers, 0 or 1; the host has the other
 * @window_fd: the window, or −1
 * @guest_to_host: (array length=n_regions): doorbells; −1 where none has come
 * @host_to_guest: (array length=n_regions): the same
 * @ready_fd: the doorbell by which the guest says that it is ready; −1: none has come
 *
 * A VM's side of the hand-over (section 2 of the protocols' specification): what has come of it so
 * far. It owns the descriptors.
 */
typedef struct {
    guint n_regions;
    guint n_messages;
    guint vm_id;
    int window_fd;
    int *guest_to_host;
    int *host_to_guest;
    int ready_fd;
    /*< private >*/
    guint n_bytes;
    guint8 bytes[VSOC_HANDOVER_SIZE];
    int fd; /* came with the bytes of the message that is not complete */
} CvdHandover;

#define CVD_HANDOVER_INIT                                                                          \
    {                                                                                              \
        .vm_id = VSOC_HANDOVER_VM_ID, .window_fd = -1, .ready_fd = -1, .fd = -1                    \
    }

/**
 * CvdHandoverEvent:
 * @CVD_HANDOVER_EMPTY: the socket has nothing more now
 * @CVD_HANDOVER_MORE: a message, or a piece of one, was taken
 * @CVD_HANDOVER_WINDOW: the window has come; cvd_handover_set_regions() must be called next
 * @CVD_HANDOVER_DONE: all has come; a server that asks when the guest is ready sends one more
 * @CVD_HANDOVER_READY: that one has come, too
 * @CVD_HANDOVER_FAILED: nothing more can be taken
 */
typedef enum {
    CVD_HANDOVER_EMPTY,
    CVD_HANDOVER_MORE,
    CVD_HANDOVER_WINDOW,
    CVD_HANDOVER_DONE,
    CVD_HANDOVER_READY,
    CVD_HANDOVER_FAILED,
} CvdHandoverEvent;

void cvd_handover_init(CvdHandover *handover);

/** cvd_handover_set_regions: The stream does not tell how many doorbells come: 2 × @n_regions */
void cvd_handover_set_regions(CvdHandover *handover, guint n_regions);

/**
 * cvd_handover_read:
 * @handover: what has come so far
 * @socket: the connection
 * @error: %CVD_ERROR_BUSY: the server closed the connection without a word, as it does while
 *   another VM is attached; %CVD_ERROR_CLOSED: it closed it in the middle; %CVD_ERROR_PROTOCOL: a
 *   message is not what it has to be, or its descriptor is missing; %CVD_ERROR_FAILED
 *
 * Reads once, without blocking, at most to the end of one message.
 */
CvdHandoverEvent cvd_handover_read(CvdHandover *handover, int socket, GError **error);

void cvd_handover_clear(CvdHandover *handover);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdHandover, cvd_handover_clear)

G_END_DECLS
