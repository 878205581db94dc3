/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdDoorbells:
 *
 * Two eventfds for each region, non-blocking and close-on-exec: docs/protocol.md, Doorbells.
 */
typedef struct CvdDoorbells CvdDoorbells;

/**
 * cvd_doorbells_new:
 * @n_regions: how many pairs
 * @error: %CVD_ERROR_RESOURCES when descriptors run out
 *
 * Returns: (transfer full) (nullable): the doorbells, none rung
 */
CvdDoorbells *cvd_doorbells_new(guint n_regions, GError **error);
void cvd_doorbells_free(CvdDoorbells *doorbells);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdDoorbells, cvd_doorbells_free)

/** cvd_doorbells_get_guest_to_host: Returns: the eventfd that the guest rings, borrowed */
int cvd_doorbells_get_guest_to_host(const CvdDoorbells *doorbells, guint region);
/** cvd_doorbells_get_host_to_guest: Returns: the eventfd that host clients ring, borrowed */
int cvd_doorbells_get_host_to_guest(const CvdDoorbells *doorbells, guint region);

/**
 * cvd_doorbells_drain:
 *
 * Takes back what was rung, between two VM runs. Never blocks, whatever the peers did to
 * O_NONBLOCK.
 */
void cvd_doorbells_drain(CvdDoorbells *doorbells);

/**
 * cvd_doorbells_find_rung:
 * @to_guest: (inout): becomes %TRUE if the guest's doorbell was rung and nobody has taken that yet
 * @to_host: (inout): the same for that of the clients
 *
 * Takes nothing.
 */
void cvd_doorbells_find_rung(const CvdDoorbells *doorbells, guint region, gboolean *to_guest,
                             gboolean *to_host);

G_END_DECLS
