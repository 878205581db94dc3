/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/doorbells.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdVmPort:
 *
 * The VM socket: lets one VM in and hands the window and the doorbells over to it.
 * docs/protocol.md, The VM socket. Who is refused is sent the version 1, on which QEMU ends,
 * instead of nothing, after which it spins.
 */
typedef struct CvdVmPort CvdVmPort;

/**
 * CvdVmPortOptions:
 * @listening_fd: a listening socket, non-blocking; borrowed, as all pointers here
 * @n_regions: so many pairs of doorbells are handed over
 * @vm_id: the number that the VM has among the peers, 0 or 1
 * @ready_fd: the doorbell by which the guest says that it is ready; −1: it is not handed over
 * @own_process_only: whether only connections that this process opened are let in; else those of
 *   any process of the same uid or of uid 0, and the slot stays taken until that process has exited
 * @attached: a VM was let in; the hand-over begins
 * @handed_over: all of it has been sent
 * @detached: the slot is free again
 * @owner: for the callbacks, which may do anything, even free the port
 */
typedef struct {
    int listening_fd;
    guint n_regions;
    guint vm_id;
    const CvdDoorbells *doorbells;
    int window_fd;
    int ready_fd;
    gboolean own_process_only;
    void (*attached)(gpointer owner, int pid);
    void (*handed_over)(gpointer owner);
    void (*detached)(gpointer owner);
    gpointer owner;
} CvdVmPortOptions;

/**
 * cvd_vm_port_new:
 * @context: where the VM is served
 * @options: copied; what it points to outlives the port
 *
 * Returns: (transfer full): a port that listens
 */
CvdVmPort *cvd_vm_port_new(GMainContext *context, const CvdVmPortOptions *options);

/**
 * cvd_vm_port_free:
 *
 * Closes the VM's connection; @detached is called if the slot was taken. The listening socket stays
 * its owner's.
 */
void cvd_vm_port_free(CvdVmPort *port);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdVmPort, cvd_vm_port_free)

/**
 * cvd_vm_port_adopt:
 * @take_fd: (transfer full): the server's end of a connection that is none of the listening
 *   socket's, non-blocking
 *
 * Lets the process in that has the other end; @attached is called from the main context.
 *
 * Returns: whether the slot was free
 */
gboolean cvd_vm_port_adopt(CvdVmPort *port, int take_fd);

/**
 * cvd_vm_port_disconnect:
 *
 * Frees the slot, whose process is known to be gone; @detached is called if it was taken.
 */
void cvd_vm_port_disconnect(CvdVmPort *port);

/** cvd_vm_port_is_free: Returns: whether a VM could attach now */
gboolean cvd_vm_port_is_free(const CvdVmPort *port);

/**
 * cvd_vm_port_has_read_all:
 *
 * Returns: whether everything has been sent to a VM and nothing of it waits unread (SIOCOUTQ)
 */
gboolean cvd_vm_port_has_read_all(const CvdVmPort *port);

G_END_DECLS
