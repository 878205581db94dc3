/* SPDX-License-Identifier: Apache-2.0 */
#include "server/quota.h"

struct CvdQuota {
    guint max;
    guint n_reserved; /* for the server's own user and root */
    uid_t own_uid;
    guint n_own;
    guint n_others;
    GHashTable *by_uid; /* of the others: how many connections each has */
};

CvdQuota *cvd_quota_new(guint max, uid_t own_uid)
{
    CvdQuota *quota = g_new0(CvdQuota, 1);

    quota->max = max;
    quota->n_reserved = (max + 6) / 8; /* none of 1, one of 2 to 9 */
    quota->own_uid = own_uid;
    quota->by_uid = g_hash_table_new(NULL, NULL);
    return quota;
}

void cvd_quota_free(CvdQuota *quota)
{
    g_hash_table_unref(quota->by_uid);
    g_free(quota);
}

static gboolean is_own(const CvdQuota *quota, uid_t uid)
{
    return uid == 0 || uid == quota->own_uid;
}

static guint count(const CvdQuota *quota, uid_t uid)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(quota->by_uid, GUINT_TO_POINTER(uid)));
}

static void set_count(CvdQuota *quota, uid_t uid, guint n)
{
    if (n > 0)
        g_hash_table_insert(quota->by_uid, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(n));
    else
        g_hash_table_remove(quota->by_uid, GUINT_TO_POINTER(uid));
}

gboolean cvd_quota_take(CvdQuota *quota, uid_t uid)
{
    guint n = count(quota, uid);

    if (cvd_quota_is_full(quota))
        return FALSE;
    if (is_own(quota, uid)) {
        quota->n_own++;
        return TRUE;
    }
    if (n + quota->n_others + MAX(quota->n_reserved, quota->n_own) >= quota->max)
        return FALSE;
    quota->n_others++;
    set_count(quota, uid, n + 1);
    return TRUE;
}

void cvd_quota_release(CvdQuota *quota, uid_t uid)
{
    if (is_own(quota, uid)) {
        quota->n_own--;
        return;
    }
    quota->n_others--;
    set_count(quota, uid, count(quota, uid) - 1);
}

gboolean cvd_quota_is_full(const CvdQuota *quota)
{
    return quota->n_own + quota->n_others >= quota->max;
}
