/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdAccess:
 * @CVD_ACCESS_NONE: to the client the region does not exist
 * @CVD_ACCESS_READ_ONLY: a descriptor of the window that cannot be mapped writable, and dummies in
 *   place of both doorbells
 * @CVD_ACCESS_READ_WRITE: the window and both doorbells
 *
 * What a client may do with a region.
 */
typedef enum {
    CVD_ACCESS_NONE,
    CVD_ACCESS_READ_ONLY,
    CVD_ACCESS_READ_WRITE,
} CvdAccess;

typedef enum {
    CVD_SUBJECT_USER,
    CVD_SUBJECT_GROUP,
    CVD_SUBJECT_EVERYBODY,
} CvdSubject;

/**
 * CvdAccessRule:
 * @subject: whom it is for
 * @id: uid or gid
 * @regions: (array zero-terminated=1) (nullable): names of regions; %NULL: all
 * @access: what they may
 *
 * One rule. A group rule is for a process that has the group among its effective or supplementary
 * ones. uid 0 is a user like any other here.
 */
typedef struct {
    CvdSubject subject;
    guint32 id;
    char **regions;
    CvdAccess access;
} CvdAccessRule;

/**
 * CvdAccessRules:
 *
 * An immutable list of rules; of those that are for a client and a region the first counts, and
 * without one the client may nothing.
 */
typedef struct CvdAccessRules CvdAccessRules;

/**
 * cvd_access_rules_new:
 * @rules: (array length=n_rules): copied
 *
 * Returns: (transfer full): the list
 */
CvdAccessRules *cvd_access_rules_new(const CvdAccessRule *rules, guint n_rules);

/**
 * cvd_access_rules_new_default:
 *
 * Returns: (transfer full): this process's effective uid and uid 0 may everything
 */
CvdAccessRules *cvd_access_rules_new_default(void);

CvdAccessRules *cvd_access_rules_ref(CvdAccessRules *rules);
void cvd_access_rules_unref(CvdAccessRules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdAccessRules, cvd_access_rules_unref)

/** cvd_access_rules_get: Returns: (transfer none) (array length=n_rules): the rules, in order */
const CvdAccessRule *cvd_access_rules_get(const CvdAccessRules *rules, guint *n_rules);

/** cvd_access_rules_has: Returns: whether any rule gives just that */
gboolean cvd_access_rules_has(const CvdAccessRules *rules, CvdAccess access);

/** cvd_access_rules_is_for_others: Returns: whether any rule is for others than @uid and uid 0 */
gboolean cvd_access_rules_is_for_others(const CvdAccessRules *rules, uid_t uid);

/**
 * CvdPeer:
 * @pid: process id
 * @uid: effective uid
 * @gids: (element-type guint32) (nullable): effective gid and supplementary ones; %NULL where no
 *   rule asks for them
 * @matches: (nullable): for each rule whether it is for this peer: cvd_access_rules_match()
 * @general: the first of these that is for all regions; the number of rules if none is
 *
 * Who is at the other end of a connection, as the kernel noted when it was made (unix(7),
 * SO_PEERCRED and SO_PEERGROUPS).
 */
typedef struct {
    pid_t pid;
    uid_t uid;
    GArray *gids;
    gboolean *matches;
    guint general;
} CvdPeer;

/**
 * cvd_access_rules_get_peer:
 * @socket: a connection
 * @peer: (out caller-allocates): as far as the rules need to know it, and matched with them
 *
 * Returns: whether the kernel could tell
 */
gboolean cvd_access_rules_get_peer(const CvdAccessRules *rules, int socket, CvdPeer *peer);
void cvd_peer_clear(CvdPeer *peer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdPeer, cvd_peer_clear)

/**
 * cvd_access_rules_match:
 * @peer: with its ids, as cvd_access_rules_get_peer() gives them
 *
 * Looks once which rules are for @peer, so that a check costs no more than the rules that name the
 * region.
 */
void cvd_access_rules_match(const CvdAccessRules *rules, CvdPeer *peer);

/**
 * cvd_access_rules_check:
 * @peer: after cvd_access_rules_match()
 *
 * Returns: what @peer may do with the region of that name
 */
CvdAccess cvd_access_rules_check(const CvdAccessRules *rules, const CvdPeer *peer,
                                 const char *region);

G_END_DECLS
