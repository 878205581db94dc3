/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdPlaces:
 *
 * Shares a number of connections among users, so that none of them holds all. The server's own
 * user and root take any place that is free; an eighth is kept for them. Of the others each gets a
 * further one only while it has less than are left for them all: a single user half of them, the
 * next half of what remains.
 */
typedef struct CvdPlaces CvdPlaces;

/**
 * cvd_places_new:
 * @max: how many places there are, at least 1
 * @own_uid: the server's own user
 */
CvdPlaces *cvd_places_new(guint max, uid_t own_uid);
void cvd_places_free(CvdPlaces *places);

/** cvd_places_take: Returns: whether @uid got a place */
gboolean cvd_places_take(CvdPlaces *places, uid_t uid);
/** cvd_places_release: @uid: a user that has got a place, and leaves it */
void cvd_places_release(CvdPlaces *places, uid_t uid);
/** cvd_places_is_full: Returns: whether no place is left for anybody */
gboolean cvd_places_is_full(const CvdPlaces *places);

G_END_DECLS
