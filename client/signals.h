/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * One side of a region's two signal tables: section 5 of the protocols' specification. Knows no
 * doorbell: who calls rings. Whoever is at the other end can write every word at any time; where
 * the tables are was checked before, and is not looked up in the region.
 */

/** CVD_MAX_NODES_LG2: the largest table has 65536 slots. */
#define CVD_MAX_NODES_LG2 16

/**
 * CvdSignalTableView:
 * @lg2: the table has `1 << lg2` slots
 * @table_offset: where it starts, in the region
 * @word_offset: where its interrupt-signalled word is, in the region
 *
 * A signal table, checked to be in the region.
 */
typedef struct {
    guint32 lg2;
    guint32 table_offset;
    guint32 word_offset;
} CvdSignalTableView;

/**
 * CvdSendResult:
 * @CVD_SEND_RING: signalled; the doorbell is to be rung
 * @CVD_SEND_DONE: signalled; somebody has rung already
 * @CVD_SEND_FULL: all slots are taken by other offsets
 */
typedef enum {
    CVD_SEND_RING,
    CVD_SEND_DONE,
    CVD_SEND_FULL,
} CvdSendResult;

/**
 * cvd_signals_send:
 * @base: where the region is mapped
 * @out: the outgoing table
 * @offset: a checked offset, a multiple of 4, not 0
 *
 * Any thread may call it, several at once too.
 */
CvdSendResult cvd_signals_send(guint8 *base, const CvdSignalTableView *out, guint32 offset);

/** cvd_signals_waiting: Returns: whether the table's word is set */
gboolean cvd_signals_waiting(const guint8 *base, const CvdSignalTableView *table);

/**
 * cvd_signals_receive:
 * @base: where the region is mapped
 * @size: of the region, in bytes
 * @in: the incoming table
 * @out: the outgoing table, for round trips
 * @offsets: (element-type guint32): empty; what was signalled is put here, ascending, each once
 * @must_ring: (out): whether the outgoing doorbell is to be rung, for round trips
 *
 * One round over the table. Local waiters of the offsets are woken. What is no word's offset in the
 * region is dropped.
 *
 * Returns: whether the word was set or any slot taken
 */
gboolean cvd_signals_receive(guint8 *base, gsize size, const CvdSignalTableView *in,
                             const CvdSignalTableView *out, GArray *offsets, gboolean *must_ring);

G_END_DECLS
