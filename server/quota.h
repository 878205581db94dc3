/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdQuota:
 *
 * Shares a number of connections among users, so that none of them holds all. The server's own
 * user and root take any that is free; an eighth is reserved for them. Of the others each gets a
 * further one only while it has less than are left for them all: a single user half of them, the
 * next half of what remains.
 */
typedef struct CvdQuota CvdQuota;

/**
 * cvd_quota_new:
 * @max: how many connections there may be, at least 1
 * @own_uid: the server's own user
 */
CvdQuota *cvd_quota_new(guint max, uid_t own_uid);
void cvd_quota_free(CvdQuota *quota);

/** cvd_quota_take: Returns: whether @uid may have one more, which is counted then */
gboolean cvd_quota_take(CvdQuota *quota, uid_t uid);
/** cvd_quota_release: @uid: of a connection that was counted, and ends */
void cvd_quota_release(CvdQuota *quota, uid_t uid);
/** cvd_quota_is_full: Returns: whether nobody may have one more */
gboolean cvd_quota_is_full(const CvdQuota *quota);

G_END_DECLS
