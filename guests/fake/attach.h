/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guests/fake/handover.h"
#include "guests/fake/options.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdVmAttachment:
 * @connection: to the VM socket
 * @handover: what came over it
 * @map: the window, mapped
 * @size: in bytes
 *
 * An attached VM.
 */
typedef struct {
    int connection;
    CvdHandover handover;
    guint8 *map;
    gsize size;
} CvdVmAttachment;

#define CVD_VM_ATTACHMENT_INIT                                                                     \
    {                                                                                              \
        .connection = -1, .handover = CVD_HANDOVER_INIT                                            \
    }

typedef enum {
    CVD_VM_ATTACHED,
    CVD_VM_STOPPED, /* a signal came first */
    CVD_VM_FAILED,
} CvdVmAttachResult;

/**
 * cvd_vm_attach:
 * @attachment: (inout): as initialised with %CVD_VM_ATTACHMENT_INIT
 * @path: the VM socket
 * @signal_fd: readable when it is time to stop
 * @options: of which `slow_ms`, and `die_after` if that is 0, are meant here
 * @error: with %CVD_VM_FAILED; the message begins with @path
 *
 * Connects, takes the whole hand-over and maps the window. How many doorbells come the window's
 * header has to tell, as QEMU's `vectors` does for QEMU.
 */
CvdVmAttachResult cvd_vm_attach(CvdVmAttachment *attachment, const char *path, int signal_fd,
                                const CvdVmOptions *options, GError **error);

void cvd_vm_attachment_clear(CvdVmAttachment *attachment);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdVmAttachment, cvd_vm_attachment_clear)

G_END_DECLS
