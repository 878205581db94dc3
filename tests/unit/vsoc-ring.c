/* SPDX-License-Identifier: Apache-2.0 */
/* The ring in a region: both ends in turn, and each against another end that writes anything. */
#include "vsoc/ring.h"

#include <glib.h>
#include <string.h>

#define CAPACITY 4096u
#define BYTES    512u /* where the ring's bytes begin */
#define WRITTEN  0u
#define READ     64u

typedef struct {
    guint8 *place;
    struct vsoc_ring writer;
    struct vsoc_ring reader;
} Ends;

static void ends_init(Ends *ends)
{
    ends->place = g_aligned_alloc0(1, BYTES + CAPACITY, VSOC_RING_ALIGN);
    g_assert_true(vsoc_ring_open(&ends->writer, ends->place, BYTES + CAPACITY));
    g_assert_true(vsoc_ring_open(&ends->reader, ends->place, BYTES + CAPACITY));
    vsoc_ring_clear(&ends->writer);
}

static void ends_clear(Ends *ends)
{
    g_aligned_free(ends->place);
}

static guint32 *word_at(const Ends *ends, guint32 offset)
{
    return (guint32 *)(gpointer)(ends->place + offset);
}

/* Both indices as if that many bytes had gone through; the ring is empty. */
static void begin_at(Ends *ends, guint32 index)
{
    ends->writer.mine = ends->writer.theirs = index;
    ends->reader.mine = ends->reader.theirs = index;
    *word_at(ends, WRITTEN) = *word_at(ends, READ) = index;
}

static void fill(guint8 *bytes, gsize size, guint seed)
{
    for (gsize i = 0; i < size; i++)
        bytes[i] = (guint8)(i * 7 + seed);
}

static void put(Ends *ends, guint32 length, guint seed)
{
    g_autofree guint8 *bytes = g_malloc(length + 1);

    fill(bytes, length, seed);
    guint32 tag = vsoc_ring_sum_tag(vsoc_ring_sum(0, bytes, length));
    g_assert_cmpint(vsoc_ring_put(&ends->writer, bytes, length, tag), ==, VSOC_RING_DONE);
}

static void get(Ends *ends, guint32 length, guint seed)
{
    g_autofree guint8 *expected = g_malloc(length + 1);
    g_autofree guint8 *got = g_malloc(length + 1);
    struct vsoc_ring_message message;

    fill(expected, length, seed);
    g_assert_cmpint(vsoc_ring_get(&ends->reader, &message), ==, VSOC_RING_DONE);
    g_assert_cmpuint(message.length, ==, length);
    g_assert_cmpuint(message.sizes[0] + message.sizes[1], ==, length);
    memcpy(got, message.pieces[0], message.sizes[0]);
    memcpy(got + message.sizes[0], message.pieces[1], message.sizes[1]);
    g_assert_cmpmem(got, length, expected, length);
    struct vsoc_ring_account account = {0};
    vsoc_ring_account_add(&account, &message);
    g_assert_cmpuint(account.messages, ==, length > 0);
    g_assert_cmpuint(account.wrong, ==, 0);
    vsoc_ring_release(&ends->reader, &message);
}

static void assert_empty(Ends *ends)
{
    struct vsoc_ring_message message;

    g_assert_cmpint(vsoc_ring_get(&ends->reader, &message), ==, VSOC_RING_NOT_YET);
    g_assert_cmpint(vsoc_ring_flushed(&ends->writer), ==, VSOC_RING_DONE);
}

static void test_lengths(void)
{
    Ends ends;

    ends_init(&ends);
    assert_empty(&ends);
    for (guint32 length = 0; length <= CAPACITY / 2 - 8; length += length < 32 ? 1 : 127) {
        put(&ends, length, length);
        g_assert_cmpint(vsoc_ring_flushed(&ends.writer), ==, VSOC_RING_NOT_YET);
        get(&ends, length, length);
        assert_empty(&ends);
    }
    ends_clear(&ends);
}

/* Every place in the ring, with messages over its end in each way, and indices over 2³². */
static void test_wrap(void)
{
    Ends ends;

    ends_init(&ends);
    for (guint32 at = 0; at < CAPACITY; at += 8) {
        begin_at(&ends, (guint32)-CAPACITY + at);
        put(&ends, 2000, at);
        put(&ends, 2001, at + 1);
        get(&ends, 2000, at);
        get(&ends, 2001, at + 1);
        assert_empty(&ends);
    }
    ends_clear(&ends);
}

static void test_full(void)
{
    static const guint8 bytes[1016];
    Ends ends;

    ends_init(&ends);
    begin_at(&ends, 0xfffffff8);
    for (guint i = 0; i < CAPACITY / 1024; i++)
        put(&ends, 1016, i);
    g_assert_cmpint(vsoc_ring_put(&ends.writer, bytes, 0, 0), ==, VSOC_RING_NOT_YET);
    get(&ends, 1016, 0);
    g_assert_cmpint(vsoc_ring_put(&ends.writer, bytes, 1016, 0), ==, VSOC_RING_DONE);
    g_assert_cmpint(vsoc_ring_put(&ends.writer, bytes, 0, 0), ==, VSOC_RING_NOT_YET);
    for (guint i = 1; i < CAPACITY / 1024; i++)
        get(&ends, 1016, i);
    ends_clear(&ends);
}

static void test_sizes(void)
{
    g_autofree guint8 *memory = g_malloc(8192);
    guint8 *place = memory + 64 - GPOINTER_TO_SIZE(memory) % 64;
    struct vsoc_ring ring;

    g_assert_false(vsoc_ring_open(&ring, place, 0));
    g_assert_false(vsoc_ring_open(&ring, place, BYTES + 1023));
    g_assert_true(vsoc_ring_open(&ring, place, BYTES + 1024));
    g_assert_cmpuint(ring.capacity, ==, 1024);
    g_assert_true(vsoc_ring_open(&ring, place, BYTES + 4095));
    g_assert_cmpuint(ring.capacity, ==, 2048);
    g_assert_true(vsoc_ring_open(&ring, place, G_MAXSIZE));
    g_assert_cmpuint(ring.capacity, ==, 1u << 30);
    g_assert_false(vsoc_ring_open(&ring, place + 8, 4096));
}

static void test_waking(void)
{
    Ends ends;

    ends_init(&ends);
    put(&ends, 8, 0);
    g_assert_false(vsoc_ring_must_wake_reader(&ends.writer));
    get(&ends, 8, 0);
    vsoc_ring_await_message(&ends.reader);
    put(&ends, 8, 0);
    g_assert_true(vsoc_ring_must_wake_reader(&ends.writer));
    g_assert_false(vsoc_ring_must_wake_reader(&ends.writer));
    get(&ends, 8, 0);
    g_assert_false(vsoc_ring_must_wake_writer(&ends.reader));

    for (guint i = 0; i < 4; i++)
        put(&ends, 1016, i);
    vsoc_ring_await_room(&ends.writer);
    get(&ends, 1016, 0);
    g_assert_false(vsoc_ring_must_wake_writer(&ends.reader)); /* not before half is free */
    get(&ends, 1016, 1);
    g_assert_true(vsoc_ring_must_wake_writer(&ends.reader));
    g_assert_false(vsoc_ring_must_wake_writer(&ends.reader));
    ends_clear(&ends);
}

static void test_account(void)
{
    const struct vsoc_ring_account account = {1ull << 40, 3};
    Ends ends;

    ends_init(&ends);
    vsoc_ring_set_account(&ends.reader, &account);
    struct vsoc_ring_account got = vsoc_ring_get_account(&ends.writer);
    g_assert_cmpuint(got.messages, ==, account.messages);
    g_assert_cmpuint(got.wrong, ==, 3);
    ends_clear(&ends);
}

/* The reader's index may only be where there is something between it and the writer's. */
static void test_hostile_reader(void)
{
    static const guint32 good[] = {0, 8, 1024},
                         bad[] = {4, 1, 1032, CAPACITY, 0xfffffff8, 1u << 31};
    Ends ends;

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        ends_init(&ends);
        put(&ends, 1016, 0);
        *word_at(&ends, READ) = good[i];
        g_assert_cmpint(vsoc_ring_flushed(&ends.writer), !=, VSOC_RING_BROKEN);
        ends_clear(&ends);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        ends_init(&ends);
        put(&ends, 1016, 0);
        *word_at(&ends, READ) = bad[i];
        g_assert_cmpint(vsoc_ring_flushed(&ends.writer), ==, VSOC_RING_BROKEN);
        ends_clear(&ends);
    }
}

static void test_hostile_reader_of_a_full_ring(void)
{
    static const guint32 bad[] = {1, 4, CAPACITY + 8, 0xfffffff8, 1u << 31};
    Ends ends;

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        ends_init(&ends);
        for (guint k = 0; k < 4; k++)
            put(&ends, 1016, 0);
        *word_at(&ends, READ) = bad[i];
        g_assert_cmpint(vsoc_ring_put(&ends.writer, &ends, 8, 0), ==, VSOC_RING_BROKEN);
        ends_clear(&ends);
    }
}

/* Nor may it go back. */
static void test_reader_goes_back(void)
{
    Ends ends;

    ends_init(&ends);
    put(&ends, 1016, 0);
    get(&ends, 1016, 0);
    g_assert_cmpint(vsoc_ring_flushed(&ends.writer), ==, VSOC_RING_DONE);
    put(&ends, 1016, 0);
    *word_at(&ends, READ) = 0;
    g_assert_cmpint(vsoc_ring_flushed(&ends.writer), ==, VSOC_RING_BROKEN);
    ends_clear(&ends);
}

static void assert_get_broken(Ends *ends)
{
    struct vsoc_ring_message message;

    g_assert_cmpint(vsoc_ring_get(&ends->reader, &message), ==, VSOC_RING_BROKEN);
}

static void test_hostile_writer(void)
{
    static const guint32 written[] = {4, CAPACITY + 8, 1u << 31, 0xfffffff8};
    static const guint32 lengths[] = {9,          CAPACITY / 2 - 7, CAPACITY,
                                      0x7fffffff, 0xfffffff8,       0xffffffff};
    Ends ends;

    for (gsize i = 0; i < G_N_ELEMENTS(written); i++) {
        ends_init(&ends);
        *word_at(&ends, WRITTEN) = written[i];
        assert_get_broken(&ends);
        ends_clear(&ends);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        ends_init(&ends);
        put(&ends, 8, 0);
        *word_at(&ends, BYTES) = lengths[i];
        assert_get_broken(&ends);
        ends_clear(&ends);
    }
}

/* A message that is not what was sent is counted, and no more. */
static void test_wrong_tag(void)
{
    struct vsoc_ring_account account = {0};
    struct vsoc_ring_message message;
    Ends ends;

    ends_init(&ends);
    put(&ends, 64, 0);
    ends.place[BYTES + 8]++;
    g_assert_cmpint(vsoc_ring_get(&ends.reader, &message), ==, VSOC_RING_DONE);
    vsoc_ring_account_add(&account, &message);
    g_assert_cmpuint(account.messages, ==, 1);
    g_assert_cmpuint(account.wrong, ==, 1);
    ends_clear(&ends);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vsoc-ring/lengths", test_lengths);
    g_test_add_func("/vsoc-ring/wrap", test_wrap);
    g_test_add_func("/vsoc-ring/full", test_full);
    g_test_add_func("/vsoc-ring/sizes", test_sizes);
    g_test_add_func("/vsoc-ring/waking", test_waking);
    g_test_add_func("/vsoc-ring/account", test_account);
    g_test_add_func("/vsoc-ring/hostile-reader", test_hostile_reader);
    g_test_add_func("/vsoc-ring/hostile-reader-of-a-full-ring", test_hostile_reader_of_a_full_ring);
    g_test_add_func("/vsoc-ring/reader-goes-back", test_reader_goes_back);
    g_test_add_func("/vsoc-ring/hostile-writer", test_hostile_writer);
    g_test_add_func("/vsoc-ring/wrong-tag", test_wrong_tag);
    return g_test_run();
}
