/* SPDX-License-Identifier: Apache-2.0 */
#include "server/access.h"

#include "server/access-private.h"
#include "server/boxed.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct CvdAccessRules {
    guint n_rules;
    CvdAccessRule *rules;
    GHashTable *named; /* a region's name -> GArray of the rules that have it, in order */
    gboolean has_groups;
};

CVD_DEFINE_BOXED_TYPE(CvdAccessRules, cvd_access_rules, cvd_access_rules_ref,
                      cvd_access_rules_unref)

static void add_names(CvdAccessRules *list, guint rule)
{
    for (char **name = list->rules[rule].regions; name != NULL && *name != NULL; name++) {
        GArray *rules = g_hash_table_lookup(list->named, *name);
        if (rules == NULL) {
            rules = g_array_new(FALSE, FALSE, sizeof(guint));
            g_hash_table_insert(list->named, *name, rules);
        }
        g_array_append_val(rules, rule);
    }
}

CvdAccessRules *cvd_access_rules_new(const CvdAccessRule *rules, guint n_rules)
{
    CvdAccessRules *list = g_atomic_rc_box_new0(CvdAccessRules);

    list->n_rules = n_rules;
    list->rules = g_new(CvdAccessRule, n_rules);
    list->named =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
    for (guint i = 0; i < n_rules; i++) {
        list->rules[i] = rules[i];
        list->rules[i].regions = g_strdupv(rules[i].regions);
        list->has_groups |= rules[i].subject == CVD_SUBJECT_GROUP;
        add_names(list, i);
    }
    return list;
}

CvdAccessRules *cvd_access_rules_new_default(void)
{
    const CvdAccessRule rules[] = {
        {.subject = CVD_SUBJECT_USER, .id = geteuid(), .access = CVD_ACCESS_READ_WRITE},
        {.subject = CVD_SUBJECT_USER, .id = 0, .access = CVD_ACCESS_READ_WRITE},
    };

    return cvd_access_rules_new(rules, G_N_ELEMENTS(rules));
}

CvdAccessRules *cvd_access_rules_ref(CvdAccessRules *rules)
{
    return g_atomic_rc_box_acquire(rules);
}

static void clear(gpointer data)
{
    CvdAccessRules *rules = data;

    g_hash_table_unref(rules->named); /* its keys are the rules' */
    for (guint i = 0; i < rules->n_rules; i++)
        g_strfreev(rules->rules[i].regions);
    g_free(rules->rules);
}

void cvd_access_rules_unref(CvdAccessRules *rules)
{
    g_atomic_rc_box_release_full(rules, clear);
}

const CvdAccessRule *cvd_access_rules_get(const CvdAccessRules *rules, guint *n_rules)
{
    *n_rules = rules->n_rules;
    return rules->rules;
}

gboolean cvd_access_rules_has(const CvdAccessRules *rules, CvdAccess access)
{
    for (guint i = 0; i < rules->n_rules; i++)
        if (rules->rules[i].access == access)
            return TRUE;
    return FALSE;
}

gboolean cvd_access_rules_is_for_others(const CvdAccessRules *rules, uid_t uid)
{
    for (guint i = 0; i < rules->n_rules; i++) {
        const CvdAccessRule *rule = &rules->rules[i];
        if (rule->subject != CVD_SUBJECT_USER || (rule->id != uid && rule->id != 0))
            return TRUE;
    }
    return FALSE;
}

/* The kernel says how much room is needed when there is too little. */
static gboolean add_groups(int socket, GArray *gids)
{
    socklen_t size = 0;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0)
        return TRUE;
    if (errno != ERANGE)
        return FALSE;
    guint n_before = gids->len;
    g_array_set_size(gids, n_before + size / (guint)sizeof(gid_t));
    return getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, &g_array_index(gids, gid_t, n_before),
                      &size) == 0;
}

gboolean cvd_access_rules_get_peer(const CvdAccessRules *rules, int socket, CvdPeer *peer)
{
    struct ucred credentials = {0};
    socklen_t size = sizeof credentials;

    *peer = (CvdPeer){0};
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return FALSE;
    peer->uid = credentials.uid;
    if (rules->has_groups) {
        peer->gids = g_array_new(FALSE, FALSE, sizeof(gid_t));
        g_array_append_val(peer->gids, credentials.gid);
        if (!add_groups(socket, peer->gids)) {
            cvd_peer_clear(peer);
            return FALSE;
        }
    }
    cvd_access_rules_match(rules, peer);
    return TRUE;
}

void cvd_peer_clear(CvdPeer *peer)
{
    g_clear_pointer(&peer->gids, g_array_unref);
    g_clear_pointer(&peer->matches, g_free);
}

static gboolean is_for_peer(const CvdAccessRule *rule, const CvdPeer *peer, GHashTable *gids)
{
    switch (rule->subject) {
    case CVD_SUBJECT_USER:
        return peer->uid == rule->id;
    case CVD_SUBJECT_GROUP:
        return g_hash_table_contains(gids, GUINT_TO_POINTER(rule->id));
    case CVD_SUBJECT_EVERYBODY:
        return TRUE;
    }
    g_assert_not_reached();
}

void cvd_access_rules_match(const CvdAccessRules *rules, CvdPeer *peer)
{
    g_autoptr(GHashTable) gids = g_hash_table_new(NULL, NULL);

    for (guint i = 0; peer->gids != NULL && i < peer->gids->len; i++)
        g_hash_table_add(gids, GUINT_TO_POINTER(g_array_index(peer->gids, gid_t, i)));
    peer->matches = g_new(gboolean, rules->n_rules);
    peer->general = rules->n_rules;
    for (guint i = 0; i < rules->n_rules; i++) {
        peer->matches[i] = is_for_peer(&rules->rules[i], peer, gids);
        if (peer->matches[i] && rules->rules[i].regions == NULL)
            peer->general = MIN(peer->general, i);
    }
}

CvdAccess cvd_access_rules_check(const CvdAccessRules *rules, const CvdPeer *peer,
                                 const char *region)
{
    const GArray *named = g_hash_table_lookup(rules->named, region);

    for (guint i = 0; named != NULL && i < named->len; i++) {
        guint rule = g_array_index(named, guint, i);
        if (rule > peer->general)
            break;
        if (peer->matches[rule])
            return rules->rules[rule].access;
    }
    return peer->general < rules->n_rules ? rules->rules[peer->general].access : CVD_ACCESS_NONE;
}
