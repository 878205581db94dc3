/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/run-as.h"

#include "launcher/config/access.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define EXPECTED                                                                                   \
    "a user's name or number, with or without \":GROUP\" after it, such as \"qemu:kvm\""

/* All groups that the user would have after a login; only the one where there is no such name. */
static void find_groups(CvdRunAs *run_as)
{
    const struct passwd *entry = getpwuid(run_as->uid);
    int n = 64;

    run_as->gids = g_new(gid_t, n);
    run_as->gids[0] = run_as->gid;
    run_as->n_gids = 1;
    if (entry == NULL)
        return;
    while (getgrouplist(entry->pw_name, run_as->gid, run_as->gids, &n) < 0)
        run_as->gids = g_renew(gid_t, run_as->gids, n);
    run_as->n_gids = (guint)n;
}

static gboolean has_roots_group(const CvdRunAs *run_as)
{
    for (guint i = 0; i < run_as->n_gids; i++)
        if (run_as->gids[i] == 0)
            return TRUE;
    return FALSE;
}

static CvdRunAs *parse(const CvdPlace *place, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 2);
    g_autoptr(CvdRunAs) run_as = g_new0(CvdRunAs, 1);

    run_as->user = g_strdup(text);
    if (!cvd_user_find(parts[0], &run_as->uid, &run_as->gid)) {
        cvd_place_problem(place, "there is no user \"%s\"; `getent passwd` lists them", parts[0]);
    } else if (parts[1] != NULL && !cvd_group_find(parts[1], &run_as->gid)) {
        cvd_place_problem(place, "there is no group \"%s\"; `getent group` lists them", parts[1]);
    } else if (run_as->gid == CVD_NO_GROUP) {
        cvd_place_problem(place,
                          "uid %s has no entry in the user database, and so no group; give one: "
                          "\"%s:GROUP\"",
                          parts[0], parts[0]);
    } else if (run_as->uid == 0) {
        cvd_place_problem(place, "root is what this is to prevent; name another user");
    } else {
        find_groups(run_as);
        if (!has_roots_group(run_as))
            return g_steal_pointer(&run_as);
        cvd_place_problem(place, "root's group, gid 0, is what this is to keep out of; name "
                                 "another group, or a user who is not in it");
    }
    return NULL;
}

static void read_run_as(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    CvdRunAs **run_as = slot;
    const char *text = cvd_node_get_string(node);
    g_autofree char *number = NULL;

    if (cvd_node_is_integer(node) && json_node_get_int(node) >= 0)
        text = number = g_strdup_printf("%jd", json_node_get_int(node));
    if (text == NULL || *text == '\0') {
        cvd_place_found(place, node, EXPECTED);
        return;
    }
    g_clear_pointer(run_as, cvd_run_as_free);
    *run_as = parse(place, text);
}

static JsonNode *print_run_as(const CvdKey *key, gconstpointer slot)
{
    const CvdRunAs *run_as = *(CvdRunAs *const *)slot;

    return run_as != NULL ? cvd_string_node(run_as->user) : NULL;
}

static void clear_run_as(const CvdKey *key, gpointer slot)
{
    g_clear_pointer((CvdRunAs **)slot, cvd_run_as_free);
}

const CvdType cvd_type_run_as = {read_run_as, print_run_as, clear_run_as,
                                 "{'anyOf': [" CVD_STRING_SCHEMA ","
                                 " {'type': 'integer', 'minimum': 1, 'maximum': 4294967294}]}"};

void cvd_run_as_free(CvdRunAs *run_as)
{
    g_free(run_as->user);
    g_free(run_as->gids);
    g_free(run_as);
}

int cvd_run_as_enter(const CvdRunAs *run_as)
{
    if (setgroups(run_as->n_gids, run_as->gids) < 0 ||
        setresgid(run_as->gid, run_as->gid, run_as->gid) < 0 ||
        setresuid(run_as->uid, run_as->uid, run_as->uid) < 0)
        return -1;
    return 0;
}
