/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender puts the offset into a slot, then sets the word; a receiver clears the word, then looks
 * at the slots. So whichever comes first, either the receiver finds the offset or the sender finds
 * the word clear and rings. The fences are for the sender that finds its offset in a slot already:
 * that takes no write to the slot, so nothing else would order its data before the receiver's look
 * at them.
 */
#include "client/signals.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUND_TRIP  0x1U
#define OFFSET_MASK (~0x3U)

static guint32 *word_at(const guint8 *base, guint32 offset)
{
    return (guint32 *)(void *)(base + offset);
}

/* A slot that has @offset already serves as well as a free one. */
static gboolean put(guint32 *slots, guint32 n_slots, guint32 offset)
{
    guint32 first = offset / 4;

    for (guint32 i = 0; i < n_slots; i++) {
        guint32 found = 0;
        if (__atomic_compare_exchange_n(&slots[(first + i) & (n_slots - 1)], &found, offset, FALSE,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            found == offset)
            return TRUE;
    }
    return FALSE;
}

CvdSendResult cvd_signals_send(guint8 *base, const CvdSignalTableView *out, guint32 offset)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!put(word_at(base, out->table_offset), 1U << out->lg2, offset))
        return CVD_SEND_FULL;
    if (__atomic_exchange_n(word_at(base, out->word_offset), 1, __ATOMIC_SEQ_CST) == 0)
        return CVD_SEND_RING;
    return CVD_SEND_DONE;
}

gboolean cvd_signals_waiting(const guint8 *base, const CvdSignalTableView *table)
{
    return __atomic_load_n(word_at(base, table->word_offset), __ATOMIC_SEQ_CST) != 0;
}

static int compare(gconstpointer a, gconstpointer b)
{
    guint32 x = *(const guint32 *)a;
    guint32 y = *(const guint32 *)b;

    return x < y ? -1 : x > y;
}

/* A guest can put an offset into every slot: each is to be told once. */
static void sort_and_unify(GArray *offsets)
{
    if (offsets->len < 2)
        return;
    g_array_sort(offsets, compare);

    guint32 *values = (guint32 *)(void *)offsets->data;
    guint n = 1;
    for (guint i = 1; i < offsets->len; i++)
        if (values[i] != values[n - 1])
            values[n++] = values[i];
    g_array_set_size(offsets, n);
}

static gboolean take_slots(guint8 *base, gsize size, const CvdSignalTableView *in,
                           const CvdSignalTableView *out, GArray *offsets, gboolean *must_ring)
{
    guint32 *slots = word_at(base, in->table_offset);
    gboolean any = FALSE;

    for (guint32 i = 0; i < 1U << in->lg2; i++) {
        /* Most slots are empty, and an exchange would take each one's cache line from the guest. */
        if (__atomic_load_n(&slots[i], __ATOMIC_SEQ_CST) == 0)
            continue;
        guint32 value = __atomic_exchange_n(&slots[i], 0, __ATOMIC_SEQ_CST);
        guint32 offset = value & OFFSET_MASK;
        any = TRUE;
        if (offset == 0 || offset > size - 4)
            continue;
        g_array_append_val(offsets, offset);
        if ((value & ROUND_TRIP) != 0 && cvd_signals_send(base, out, offset) == CVD_SEND_RING)
            *must_ring = TRUE;
    }
    return any;
}

gboolean cvd_signals_receive(guint8 *base, gsize size, const CvdSignalTableView *in,
                             const CvdSignalTableView *out, GArray *offsets, gboolean *must_ring)
{
    *must_ring = FALSE;
    gboolean any = __atomic_exchange_n(word_at(base, in->word_offset), 0, __ATOMIC_SEQ_CST) != 0;

    if (take_slots(base, size, in, out, offsets, must_ring))
        any = TRUE;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    sort_and_unify(offsets);
    for (guint i = 0; i < offsets->len; i++)
        syscall(SYS_futex, word_at(base, g_array_index(offsets, guint32, i)), FUTEX_WAKE, INT_MAX,
                NULL, NULL, 0);
    return any;
}
