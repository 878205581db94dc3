/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdHolders:
 *
 * Who has which exclusive region: one process each, with as many connections as it likes. It has
 * the region until the last of them ends, or the process does, whatever else has inherited its
 * connection. Where no pidfd is to be had (old seccomp profiles refuse it), the connections alone
 * count.
 */
typedef struct CvdHolders CvdHolders;

/**
 * cvd_holders_new:
 * @n_regions: of the layout
 * @epoll_fd: borrowed: where the end of a process is reported, with a pointer that
 *   cvd_holders_find() knows
 */
CvdHolders *cvd_holders_new(guint n_regions, int epoll_fd);
void cvd_holders_free(CvdHolders *holders);

/**
 * cvd_holders_claim:
 * @region: an exclusive one
 * @connection: who wants it, for a process that may not be known yet
 * @pid: 0: not known
 *
 * Returns: whether @connection has it now
 */
gboolean cvd_holders_claim(CvdHolders *holders, guint region, gpointer connection, int pid);

/** cvd_holders_set_pid: whose the regions of @connection are, which was not known before */
void cvd_holders_set_pid(CvdHolders *holders, gpointer connection, int pid);

/** cvd_holders_release: @connection ends */
void cvd_holders_release(CvdHolders *holders, gpointer connection);

/** cvd_holders_get_pid: Returns: of the process that has the region; 0: none has, or it is not
 * known */
int cvd_holders_get_pid(const CvdHolders *holders, guint region);

/** cvd_holders_get_connections: Returns: (transfer none): those that have the region */
const GPtrArray *cvd_holders_get_connections(const CvdHolders *holders, guint region);

/** cvd_holders_has_ended: Returns: whether the process that has the region is known to be gone */
gboolean cvd_holders_has_ended(const CvdHolders *holders, guint region);

/** cvd_holders_find: Returns: the region that @pointer, from the epoll set, stands for; −1: none */
int cvd_holders_find(const CvdHolders *holders, gconstpointer pointer);

/** cvd_holders_describe: Returns: (transfer full): the process that has the region, for people */
char *cvd_holders_describe(const CvdHolders *holders, guint region);

/**
 * cvd_holders_note_refusal:
 * @pid: of whom the region was refused, as another has it
 *
 * Returns: whether that is new, as one may try thousands of times
 */
gboolean cvd_holders_note_refusal(CvdHolders *holders, guint region, int pid);

G_END_DECLS
