/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/access.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdPeer:
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
 * Returns: whether the kernel knows
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
