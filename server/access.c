/* SPDX-License-Identifier: Apache-2.0 */
#include "server/access.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct CvdAccessRules {
    guint n_rules;
    CvdAccessRule *rules;
    gboolean has_groups;
};

CvdAccessRules *cvd_access_rules_new(const CvdAccessRule *rules, guint n_rules)
{
    CvdAccessRules *list = g_atomic_rc_box_new0(CvdAccessRules);

    list->n_rules = n_rules;
    list->rules = g_new(CvdAccessRule, n_rules);
    for (guint i = 0; i < n_rules; i++) {
        list->rules[i] = rules[i];
        list->rules[i].regions = g_strdupv(rules[i].regions);
        list->has_groups |= rules[i].subject == CVD_SUBJECT_GROUP;
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
    peer->pid = credentials.pid;
    peer->uid = credentials.uid;
    if (!rules->has_groups)
        return TRUE;
    peer->gids = g_array_new(FALSE, FALSE, sizeof(gid_t));
    g_array_append_val(peer->gids, credentials.gid);
    if (add_groups(socket, peer->gids))
        return TRUE;
    cvd_peer_clear(peer);
    return FALSE;
}

void cvd_peer_clear(CvdPeer *peer)
{
    g_clear_pointer(&peer->gids, g_array_unref);
}

static gboolean is_for_peer(const CvdAccessRule *rule, const CvdPeer *peer)
{
    switch (rule->subject) {
    case CVD_SUBJECT_USER:
        return peer->uid == rule->id;
    case CVD_SUBJECT_GROUP:
        for (guint i = 0; peer->gids != NULL && i < peer->gids->len; i++)
            if (g_array_index(peer->gids, gid_t, i) == rule->id)
                return TRUE;
        return FALSE;
    case CVD_SUBJECT_EVERYBODY:
        return TRUE;
    }
    g_assert_not_reached();
}

CvdAccess cvd_access_rules_check(const CvdAccessRules *rules, const CvdPeer *peer,
                                 const char *region)
{
    for (guint i = 0; i < rules->n_rules; i++) {
        const CvdAccessRule *rule = &rules->rules[i];
        if (is_for_peer(rule, peer) &&
            (rule->regions == NULL || g_strv_contains((const char *const *)rule->regions, region)))
            return rule->access;
    }
    return CVD_ACCESS_NONE;
}
