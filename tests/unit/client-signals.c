/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ends of a pair of signal tables in memory that both can write, with pages on either side that
 * nobody can touch. Both ends are the library's; what the tables have to look like in between is
 * section 5 of the protocols' specification.
 */
#include "client/mapping.h"
#include "client/signals.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE     4096
#define SIZE     (2 * PAGE)
#define DATA     1024
#define N_ROUNDS 100000

typedef struct {
    guint8 *around; /* a page that is out of bounds, the region, another such page */
    guint8 *base;
    CvdSignalTableView to_host;
    CvdSignalTableView to_guest;
} Fixture;

/* The word right behind the last page's end, so that one step too far is a crash. */
static void set_up(Fixture *fixture, gconstpointer lg2)
{
    fixture->around = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(fixture->around != MAP_FAILED);
    fixture->base = fixture->around + PAGE;
    g_assert_cmpint(mprotect(fixture->base, SIZE, PROT_READ | PROT_WRITE), ==, 0);

    guint32 bytes = 4U << GPOINTER_TO_UINT(lg2);
    fixture->to_host = (CvdSignalTableView){GPOINTER_TO_UINT(lg2), 0, bytes};
    fixture->to_guest = (CvdSignalTableView){GPOINTER_TO_UINT(lg2), SIZE - 4 - bytes, SIZE - 4};
}

static void tear_down(Fixture *fixture, gconstpointer lg2)
{
    munmap(fixture->around, SIZE + 2 * PAGE);
}

static guint32 *word(Fixture *fixture, guint32 offset)
{
    return (guint32 *)(void *)(fixture->base + offset);
}

static GArray *receive(Fixture *fixture, gboolean is_host, gboolean *any, gboolean *must_ring)
{
    GArray *offsets = g_array_new(FALSE, FALSE, sizeof(guint32));

    *any =
        cvd_signals_receive(fixture->base, SIZE, is_host ? &fixture->to_host : &fixture->to_guest,
                            is_host ? &fixture->to_guest : &fixture->to_host, offsets, must_ring);
    return offsets;
}

static void assert_received(Fixture *fixture, guint n, const guint32 *expected)
{
    gboolean any;
    gboolean must_ring;
    g_autoptr(GArray) offsets = receive(fixture, TRUE, &any, &must_ring);

    g_assert_cmpuint(offsets->len, ==, n);
    for (guint i = 0; i < n; i++)
        g_assert_cmpuint(g_array_index(offsets, guint32, i), ==, expected[i]);
}

static void test_one(Fixture *fixture, gconstpointer data)
{
    g_assert_false(cvd_signals_waiting(fixture->base, &fixture->to_host));
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA), ==, CVD_SEND_RING);
    g_assert_true(cvd_signals_waiting(fixture->base, &fixture->to_host));
    g_assert_cmpuint(*word(fixture, fixture->to_host.word_offset), ==, 1);

    assert_received(fixture, 1, (guint32[]){DATA});
    g_assert_false(cvd_signals_waiting(fixture->base, &fixture->to_host));
    assert_received(fixture, 0, NULL);
}

static void test_coalesce(Fixture *fixture, gconstpointer data)
{
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA), ==, CVD_SEND_RING);
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA), ==, CVD_SEND_DONE);
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA + 4), ==,
                    CVD_SEND_DONE);
    assert_received(fixture, 2, (guint32[]){DATA, DATA + 4});
}

/* Who put the offset there died before setting the word: the next sender does both. */
static void test_present_but_unrung(Fixture *fixture, gconstpointer data)
{
    guint32 *slots = word(fixture, fixture->to_host.table_offset);

    slots[(DATA / 4) & 3] = DATA;
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA), ==, CVD_SEND_RING);
    assert_received(fixture, 1, (guint32[]){DATA});
}

static void test_full(Fixture *fixture, gconstpointer data)
{
    for (guint32 i = 0; i < 4; i++)
        g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA + 4 * i), !=,
                        CVD_SEND_FULL);
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA + 16), ==,
                    CVD_SEND_FULL);
    /* One that is there already still can be. */
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA + 12), ==,
                    CVD_SEND_DONE);
    assert_received(fixture, 4, (guint32[]){DATA, DATA + 4, DATA + 8, DATA + 12});
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA + 16), ==,
                    CVD_SEND_RING);
}

static void test_round_trip(Fixture *fixture, gconstpointer data)
{
    gboolean any;
    gboolean must_ring;

    word(fixture, fixture->to_host.table_offset)[2] = DATA | 1;
    word(fixture, fixture->to_host.table_offset)[3] = (DATA + 8) | 2;
    g_autoptr(GArray) offsets = receive(fixture, TRUE, &any, &must_ring);
    g_assert_cmpuint(offsets->len, ==, 2);
    g_assert_cmpuint(g_array_index(offsets, guint32, 0), ==, DATA);
    g_assert_true(any && must_ring);

    g_autoptr(GArray) back = receive(fixture, FALSE, &any, &must_ring);
    g_assert_cmpuint(back->len, ==, 1);
    g_assert_cmpuint(g_array_index(back, guint32, 0), ==, DATA);
    g_assert_false(must_ring);
}

static void test_hostile_values(Fixture *fixture, gconstpointer data)
{
    static const guint32 values[4] = {SIZE, 0xffffffff, 3, SIZE - 4};

    memcpy(word(fixture, fixture->to_host.table_offset), values, sizeof values);
    assert_received(fixture, 1, (guint32[]){SIZE - 4});
    for (guint i = 0; i < 4; i++)
        word(fixture, fixture->to_host.table_offset)[i] = DATA | (i & 2);
    assert_received(fixture, 1, (guint32[]){DATA});
}

/* Any value but 0 in the word means the same. */
static void test_hostile_word(Fixture *fixture, gconstpointer data)
{
    *word(fixture, fixture->to_host.word_offset) = 0xdeadbeef;
    g_assert_cmpint(cvd_signals_send(fixture->base, &fixture->to_host, DATA), ==, CVD_SEND_DONE);
    assert_received(fixture, 1, (guint32[]){DATA});
    g_assert_cmpuint(*word(fixture, fixture->to_host.word_offset), ==, 0);
}

/* One direction with its doorbell. */
typedef struct {
    Fixture *fixture;
    gboolean is_host; /* which side this is */
    int ring;         /* what it rings */
    int rung;         /* what it waits for */
    guint n_offsets;  /* that it sends and expects, each with a counter of its own */
    gint64 n_received;
} Side;

static guint32 offset_of(gboolean of_host, guint i)
{
    return DATA + 8 * i + (of_host ? 0 : 4);
}

static void ring(int doorbell)
{
    g_assert_cmpint(eventfd_write(doorbell, 1), ==, 0);
}

static void send_count(Side *side, guint i, guint32 value)
{
    Fixture *fixture = side->fixture;
    CvdSendResult result;

    __atomic_store_n(word(fixture, offset_of(side->is_host, i)), value, __ATOMIC_RELEASE);
    /*
     * An offset gets into a second slot when the receiver empties one before the slot that has it
     * already. With as many slots as offsets the table is then full, until the receiver, who is
     * awake, comes to the other; with one offset it never is.
     */
    const CvdSignalTableView *out = side->is_host ? &fixture->to_guest : &fixture->to_host;
    while ((result = cvd_signals_send(fixture->base, out, offset_of(side->is_host, i))) ==
           CVD_SEND_FULL) {
        g_assert_cmpuint(side->n_offsets, >, 1);
        g_thread_yield();
    }
    if (result == CVD_SEND_RING)
        ring(side->ring);
}

/*
 * Waits for the other side until all its counters were told to have got to the end: a signal that
 * is lost leaves the reader asleep with an old count for ever. The reader takes only what is told.
 */
static void receive_until(Side *side, guint32 *seen, guint32 wanted)
{
    for (guint n_there = 0; n_there < side->n_offsets;) {
        gboolean any;
        gboolean must_ring;
        const CvdSignalTableView *in =
            side->is_host ? &side->fixture->to_host : &side->fixture->to_guest;
        if (!cvd_signals_waiting(side->fixture->base, in)) {
            eventfd_t count;
            g_assert_cmpint(eventfd_read(side->rung, &count), ==, 0);
        }
        g_autoptr(GArray) offsets = receive(side->fixture, side->is_host, &any, &must_ring);
        g_assert_false(must_ring);
        side->n_received += offsets->len;
        for (guint k = 0; k < offsets->len; k++) {
            guint32 offset = g_array_index(offsets, guint32, k);
            guint i = (offset - DATA) / 8;
            g_assert_cmpuint(i, <, side->n_offsets);
            g_assert_cmpuint(offset, ==, offset_of(!side->is_host, i));
            guint32 now = __atomic_load_n(word(side->fixture, offset), __ATOMIC_ACQUIRE);
            g_assert_cmpuint(now, >=, seen[i]);
            seen[i] = now;
        }
        n_there = 0;
        for (guint i = 0; i < side->n_offsets; i++)
            n_there += seen[i] >= wanted;
    }
}

static gpointer run_lock_step(gpointer data)
{
    Side *side = data;
    guint32 seen[1] = {0};

    for (guint32 round = 1; round <= N_ROUNDS; round++) {
        if (side->is_host)
            send_count(side, 0, round);
        receive_until(side, seen, round);
        g_assert_cmpuint(seen[0], ==, round);
        if (!side->is_host)
            send_count(side, 0, round);
    }
    return NULL;
}

static gpointer send_freely(gpointer data)
{
    Side *side = data;

    for (guint32 round = 1; round <= N_ROUNDS; round++)
        send_count(side, round % side->n_offsets, round);
    for (guint i = 0; i < side->n_offsets; i++)
        send_count(side, i, N_ROUNDS + 1);
    return NULL;
}

static gpointer receive_freely(gpointer data)
{
    guint32 seen[4] = {0};

    receive_until(data, seen, N_ROUNDS + 1);
    return NULL;
}

static void make_sides(Side sides[2], Fixture *fixture, guint n_offsets)
{
    int to_host = eventfd(0, EFD_CLOEXEC);
    int to_guest = eventfd(0, EFD_CLOEXEC);

    g_assert_true(to_host >= 0 && to_guest >= 0);
    sides[0] = (Side){fixture, TRUE, to_guest, to_host, n_offsets, 0};
    sides[1] = (Side){fixture, FALSE, to_host, to_guest, n_offsets, 0};
}

static void close_sides(Side sides[2])
{
    close(sides[0].ring);
    close(sides[0].rung);
}

static void test_lock_step(Fixture *fixture, gconstpointer data)
{
    Side sides[2];

    make_sides(sides, fixture, 1);
    GThread *guest = g_thread_new("guest", run_lock_step, &sides[1]);
    run_lock_step(&sides[0]);
    g_thread_join(guest);
    /* Each was answered before the next went, so none could coalesce. */
    g_assert_cmpint(sides[0].n_received, ==, N_ROUNDS);
    g_assert_cmpint(sides[1].n_received, ==, N_ROUNDS);
    close_sides(sides);
}

static void test_free_running(Fixture *fixture, gconstpointer data)
{
    Side sides[2];
    GThread *threads[4];

    make_sides(sides, fixture, 4);
    for (guint i = 0; i < 2; i++) {
        threads[2 * i] = g_thread_new("send", send_freely, &sides[i]);
        threads[2 * i + 1] = g_thread_new("receive", receive_freely, &sides[i]);
    }
    for (guint i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    close_sides(sides);
}

typedef struct {
    Fixture *fixture;
    int is_over; /* atomic */
} Scribbler;

/* Values that hurt most where they are believed. */
static guint32 nasty(GRand *rand)
{
    static const guint32 values[] = {0,        1,        3,          SIZE,       SIZE - 1,
                                     SIZE - 4, SIZE + 4, 0x7fffffff, 0xffffffff, DATA | 1};

    return g_rand_boolean(rand) ? values[g_rand_int_range(rand, 0, G_N_ELEMENTS(values))]
                                : g_rand_int(rand);
}

static gpointer scribble(gpointer data)
{
    Scribbler *scribbler = data;
    GRand *rand = g_rand_new_with_seed(1);

    while (!g_atomic_int_get(&scribbler->is_over)) {
        guint32 place = (guint32)g_rand_int_range(rand, 0, SIZE / 4);
        /* Half of it where it matters. */
        if (g_rand_boolean(rand))
            place =
                (guint32)g_rand_int_range(rand, 0, 5) + (g_rand_boolean(rand) ? 0 : SIZE / 4 - 5);
        __atomic_store_n(word(scribbler->fixture, 4 * place), nasty(rand), __ATOMIC_RELAXED);
    }
    g_rand_free(rand);
    return NULL;
}

static void test_hostile_peer(Fixture *fixture, gconstpointer data)
{
    Scribbler scribbler = {.fixture = fixture};
    GThread *thread = g_thread_new("scribbler", scribble, &scribbler);

    for (guint i = 0; i < N_ROUNDS; i++) {
        gboolean any;
        gboolean must_ring;
        cvd_signals_send(fixture->base, &fixture->to_guest, DATA + 4 * (i % 64));
        g_autoptr(GArray) offsets = receive(fixture, TRUE, &any, &must_ring);
        g_assert_cmpuint(offsets->len, <=, 4);
        for (guint k = 0; k < offsets->len; k++) {
            guint32 offset = g_array_index(offsets, guint32, k);
            g_assert_true(offset != 0 && offset % 4 == 0 && offset <= SIZE - 4);
            g_assert_true(k == 0 || offset > g_array_index(offsets, guint32, k - 1));
        }
    }
    g_atomic_int_set(&scribbler.is_over, 1);
    g_thread_join(thread);
}

#define ADD(name, function)                                                                        \
    g_test_add("/client-signals/" name, Fixture, GUINT_TO_POINTER(2), set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("one-signal", test_one);
    ADD("signals-coalesce", test_coalesce);
    ADD("present-but-never-rung", test_present_but_unrung);
    ADD("table-full-at-the-fifth-of-four", test_full);
    ADD("round-trip-is-signalled-back", test_round_trip);
    ADD("offsets-outside-are-dropped", test_hostile_values);
    ADD("word-of-any-value", test_hostile_word);
    ADD("lock-step-loses-none", test_lock_step);
    ADD("free-running-loses-none", test_free_running);
    ADD("hostile-peer-scribbles", test_hostile_peer);
    g_test_add("/client-signals/one-slot", Fixture, GUINT_TO_POINTER(0), set_up, test_one,
               tear_down);
    return g_test_run();
}
