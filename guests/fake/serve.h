/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guests/fake/attach.h"
#include "guests/fake/options.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_vm_serve:
 * @attachment: an attached VM
 * @signal_fd: readable when it is time to stop
 * @options: how to behave
 * @error: %CVD_ERROR_PROTOCOL: the layout in the window breaks a rule, or the server said
 *   something after the hand-over; %CVD_ERROR_FAILED
 *
 * Serves every region as the built-in guest does, until a signal comes or the server closes the
 * connection. To be called once in a process.
 */
gboolean cvd_vm_serve(CvdVmAttachment *attachment, int signal_fd, const CvdVmOptions *options,
                      GError **error);

G_END_DECLS
