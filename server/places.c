/* SPDX-License-Identifier: Apache-2.0 */
#include "server/places.h"

struct CvdPlaces {
    guint max;
    guint n_kept; /* for the server's own user and root */
    uid_t own_uid;
    guint n_own;
    guint n_others;
    GHashTable *by_uid; /* of the others: how many places each has */
};

CvdPlaces *cvd_places_new(guint max, uid_t own_uid)
{
    CvdPlaces *places = g_new0(CvdPlaces, 1);

    places->max = max;
    places->n_kept = (max + 6) / 8; /* none of 1, one of 2 to 9 */
    places->own_uid = own_uid;
    places->by_uid = g_hash_table_new(NULL, NULL);
    return places;
}

void cvd_places_free(CvdPlaces *places)
{
    g_hash_table_unref(places->by_uid);
    g_free(places);
}

static gboolean is_own(const CvdPlaces *places, uid_t uid)
{
    return uid == 0 || uid == places->own_uid;
}

static guint count(const CvdPlaces *places, uid_t uid)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(places->by_uid, GUINT_TO_POINTER(uid)));
}

static void set_count(CvdPlaces *places, uid_t uid, guint n)
{
    if (n > 0)
        g_hash_table_insert(places->by_uid, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(n));
    else
        g_hash_table_remove(places->by_uid, GUINT_TO_POINTER(uid));
}

gboolean cvd_places_take(CvdPlaces *places, uid_t uid)
{
    guint n = count(places, uid);

    if (cvd_places_is_full(places))
        return FALSE;
    if (is_own(places, uid)) {
        places->n_own++;
        return TRUE;
    }
    if (n + places->n_others + MAX(places->n_kept, places->n_own) >= places->max)
        return FALSE;
    places->n_others++;
    set_count(places, uid, n + 1);
    return TRUE;
}

void cvd_places_release(CvdPlaces *places, uid_t uid)
{
    if (is_own(places, uid)) {
        places->n_own--;
        return;
    }
    places->n_others--;
    set_count(places, uid, count(places, uid) - 1);
}

gboolean cvd_places_is_full(const CvdPlaces *places)
{
    return places->n_own + places->n_others >= places->max;
}
