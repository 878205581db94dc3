/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/doorbells.h"
#include "server/trace-file.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdRelay:
 *
 * Stands between the doorbells of host programs and those of the VM, for a trace: takes what one
 * side rings, rings the other, and records it.
 */
typedef struct CvdRelay CvdRelay;

/**
 * cvd_relay_new:
 * @context: where rings are passed on
 * @n_regions: how many there are
 * @of_host: what clients have; borrowed, outlives the relay
 * @take_file: where rings are recorded; consumed, also on failure
 * @error: %CVD_ERROR_RESOURCES
 *
 * Makes doorbells for the VM.
 */
CvdRelay *cvd_relay_new(GMainContext *context, guint n_regions, const CvdDoorbells *of_host,
                        CvdTraceFile *take_file, GError **error);
/** cvd_relay_free: what was rung is recorded first */
void cvd_relay_free(CvdRelay *relay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdRelay, cvd_relay_free)

/** cvd_relay_get_vm_doorbells: Returns: (transfer none): what the VM is to have */
const CvdDoorbells *cvd_relay_get_vm_doorbells(const CvdRelay *relay);

/** cvd_relay_note_cleared: passes on and records what was rung, and that it is void from now on */
void cvd_relay_note_cleared(CvdRelay *relay);
/** cvd_relay_drain: the same, and takes back what the VM was rung, between two VM runs */
void cvd_relay_drain(CvdRelay *relay);

/** cvd_relay_get_rings: @to_guest: (out), @to_host: (out): how often it was rung so far */
void cvd_relay_get_rings(const CvdRelay *relay, guint region, guint64 *to_guest, guint64 *to_host);

G_END_DECLS
