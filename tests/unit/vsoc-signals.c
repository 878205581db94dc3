/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ends of a pair of signal tables in memory that both can write, with pages on either side that
 * nobody can touch. What the tables have to look like in between is docs/window.md, Signals.
 */
#include "vsoc/signals.h"

#include <glib.h>
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
    struct vsoc_device_region region;
    struct vsoc_end ends[2]; /* by side */
} Fixture;

/* What a round of receiving gave. */
typedef struct {
    GArray *offsets;
    guint n_dropped;
    unsigned result;
} Received;

/* The word right behind the last page's end, so that one step too far is a crash. */
static void set_up(Fixture *fixture, gconstpointer lg2)
{
    fixture->around = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(fixture->around != MAP_FAILED);
    fixture->base = fixture->around + PAGE;
    g_assert_cmpint(mprotect(fixture->base, SIZE, PROT_READ | PROT_WRITE), ==, 0);

    guint32 bytes = 4U << GPOINTER_TO_UINT(lg2);
    fixture->region = (struct vsoc_device_region){
        .region_end_offset = SIZE,
        .guest_to_host_signal_table = {GPOINTER_TO_UINT(lg2), 0, bytes},
        .host_to_guest_signal_table = {GPOINTER_TO_UINT(lg2), SIZE - 4 - bytes, SIZE - 4},
    };
    for (int side = VSOC_HOST; side <= VSOC_GUEST; side++)
        fixture->ends[side] =
            (struct vsoc_end){fixture->base, &fixture->region, (enum vsoc_side)side};
}

static void tear_down(Fixture *fixture, gconstpointer lg2)
{
    munmap(fixture->around, SIZE + 2 * PAGE);
}

static guint32 *word(Fixture *fixture, guint32 offset)
{
    return (guint32 *)(void *)(fixture->base + offset);
}

static guint32 *host_slots(Fixture *fixture) /* of signals to the host */
{
    return word(fixture, fixture->region.guest_to_host_signal_table.futex_uaddr_table_offset);
}

static guint32 *host_word(Fixture *fixture)
{
    return word(fixture, fixture->region.guest_to_host_signal_table.interrupt_signalled_offset);
}

static void take(void *data, guint32 offset)
{
    g_array_append_val(((Received *)data)->offsets, offset);
}

static void drop(void *data, guint32 value)
{
    ((Received *)data)->n_dropped++;
}

static int compare(gconstpointer a, gconstpointer b)
{
    return *(const guint32 *)a < *(const guint32 *)b ? -1 : 1;
}

static void received_clear(Received *received)
{
    g_array_unref(received->offsets);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Received, received_clear)

static Received receive(Fixture *fixture, enum vsoc_side side)
{
    Received received = {.offsets = g_array_new(FALSE, FALSE, sizeof(guint32))};
    const struct vsoc_receiver receiver = {
        .first = 4, .last = SIZE - 4, .take = take, .drop = drop, .data = &received};

    received.result = vsoc_signals_receive(&fixture->ends[side], &receiver);
    g_array_sort(received.offsets, compare);
    return received;
}

static void assert_received(Fixture *fixture, guint n, const guint32 *expected)
{
    g_auto(Received) received = receive(fixture, VSOC_HOST);

    g_assert_cmpmem(received.offsets->data, received.offsets->len * sizeof *expected, expected,
                    n * sizeof *expected);
}

static enum vsoc_send send_to_host(Fixture *fixture, guint32 offset)
{
    return vsoc_signals_send(&fixture->ends[VSOC_GUEST], offset);
}

static void test_one(Fixture *fixture, gconstpointer data)
{
    g_assert_false(vsoc_signals_are_waiting(&fixture->ends[VSOC_HOST]));
    g_assert_cmpint(send_to_host(fixture, DATA), ==, VSOC_SEND_RING);
    g_assert_true(vsoc_signals_are_waiting(&fixture->ends[VSOC_HOST]));
    g_assert_cmpuint(*host_word(fixture), ==, 1);

    assert_received(fixture, 1, (guint32[]){DATA});
    g_assert_false(vsoc_signals_are_waiting(&fixture->ends[VSOC_HOST]));
    assert_received(fixture, 0, NULL);
}

static void test_coalesce(Fixture *fixture, gconstpointer data)
{
    g_assert_cmpint(send_to_host(fixture, DATA), ==, VSOC_SEND_RING);
    g_assert_cmpint(send_to_host(fixture, DATA), ==, VSOC_SEND_DONE);
    g_assert_cmpint(send_to_host(fixture, DATA + 4), ==, VSOC_SEND_DONE);
    assert_received(fixture, 2, (guint32[]){DATA, DATA + 4});
}

/* Who put the offset there died before setting the word: the next sender does both. */
static void test_present_but_unrung(Fixture *fixture, gconstpointer data)
{
    guint32 *slots = host_slots(fixture);

    slots[(DATA / 4) & 3] = DATA;
    g_assert_cmpint(send_to_host(fixture, DATA), ==, VSOC_SEND_RING);
    assert_received(fixture, 1, (guint32[]){DATA});
}

static void test_full(Fixture *fixture, gconstpointer data)
{
    for (guint32 i = 0; i < 4; i++)
        g_assert_cmpint(send_to_host(fixture, DATA + 4 * i), !=, VSOC_SEND_FULL);
    g_assert_cmpint(send_to_host(fixture, DATA + 16), ==, VSOC_SEND_FULL);
    /* One that is there already still can be. */
    g_assert_cmpint(send_to_host(fixture, DATA + 12), ==, VSOC_SEND_DONE);
    assert_received(fixture, 4, (guint32[]){DATA, DATA + 4, DATA + 8, DATA + 12});
    g_assert_cmpint(send_to_host(fixture, DATA + 16), ==, VSOC_SEND_RING);
}

static void test_round_trip(Fixture *fixture, gconstpointer data)
{
    host_slots(fixture)[2] = DATA | 1;
    host_slots(fixture)[3] = (DATA + 8) | 2;
    g_auto(Received) received = receive(fixture, VSOC_HOST);
    g_assert_cmpuint(received.result, ==, VSOC_RECEIVED | VSOC_MUST_RING);
    g_assert_cmpmem(received.offsets->data, received.offsets->len * 4,
                    ((const guint32[]){DATA, DATA + 8}), 8);

    g_auto(Received) back = receive(fixture, VSOC_GUEST);
    g_assert_cmpuint(back.result, ==, VSOC_RECEIVED);
    g_assert_cmpmem(back.offsets->data, back.offsets->len * 4, ((const guint32[]){DATA}), 4);
}

/* The request stays where it is, is not taken, and nothing is lost. */
static void test_round_trip_without_room(Fixture *fixture, gconstpointer data)
{
    for (guint32 i = 0; i < 4; i++)
        g_assert_cmpint(vsoc_signals_send(&fixture->ends[VSOC_HOST], DATA + 16 + 4 * i), !=,
                        VSOC_SEND_FULL);
    host_slots(fixture)[0] = DATA | 1;
    host_slots(fixture)[1] = DATA + 4;
    g_auto(Received) received = receive(fixture, VSOC_HOST);
    g_assert_cmpuint(received.result, ==, VSOC_RECEIVED | VSOC_STALLED);
    g_assert_cmpmem(received.offsets->data, received.offsets->len * 4,
                    ((const guint32[]){DATA + 4}), 4);
    g_assert_cmpuint(host_slots(fixture)[0], ==, (DATA | 1));
    g_auto(Received) again = receive(fixture, VSOC_HOST);
    g_assert_cmpuint(again.result, ==, VSOC_STALLED);

    g_auto(Received) of_guest = receive(fixture, VSOC_GUEST);
    g_assert_cmpuint(of_guest.offsets->len, ==, 4);
    g_auto(Received) with_room = receive(fixture, VSOC_HOST);
    g_assert_cmpuint(with_room.result, ==, VSOC_RECEIVED | VSOC_MUST_RING);
    g_assert_cmpmem(with_room.offsets->data, with_room.offsets->len * 4, ((const guint32[]){DATA}),
                    4);
    g_auto(Received) back = receive(fixture, VSOC_GUEST);
    g_assert_cmpmem(back.offsets->data, back.offsets->len * 4, ((const guint32[]){DATA}), 4);
}

/* Who set the word may have died before ringing. */
static void test_opener(Fixture *fixture, gconstpointer data)
{
    for (int side = VSOC_HOST; side <= VSOC_GUEST; side++) {
        g_assert_false(vsoc_signals_must_ring(&fixture->ends[side]));
        vsoc_signals_send(&fixture->ends[side], DATA);
        g_assert_true(vsoc_signals_must_ring(&fixture->ends[side]));
        g_assert_true(vsoc_signals_are_waiting(&fixture->ends[!side]));
        received_clear(&(Received[]){receive(fixture, (enum vsoc_side) !side)}[0]);
    }
}

static void test_hostile_values(Fixture *fixture, gconstpointer data)
{
    static const guint32 values[4] = {SIZE, 0xffffffff, 3, SIZE - 4};

    memcpy(host_slots(fixture), values, sizeof values);
    assert_received(fixture, 1, (guint32[]){SIZE - 4});
    /* The same one in every slot is taken from each. */
    for (guint i = 0; i < 4; i++)
        host_slots(fixture)[i] = DATA | (i & 2);
    assert_received(fixture, 4, (guint32[]){DATA, DATA, DATA, DATA});
}

/* What is below the first or above the last is dropped, with bits of its own or without. */
static void test_range(Fixture *fixture, gconstpointer data)
{
    static const guint32 values[4] = {DATA - 4, DATA, SIZE - 8, (SIZE - 4) | 1};
    Received received = {.offsets = g_array_new(FALSE, FALSE, sizeof(guint32))};
    const struct vsoc_receiver receiver = {
        .first = DATA, .last = SIZE - 8, .take = take, .drop = drop, .data = &received};

    memcpy(host_slots(fixture), values, sizeof values);
    g_assert_cmpuint(vsoc_signals_receive(&fixture->ends[VSOC_HOST], &receiver), ==, VSOC_RECEIVED);
    g_assert_cmpuint(received.offsets->len, ==, 2);
    g_assert_cmpuint(received.n_dropped, ==, 2);
    for (guint i = 0; i < 4; i++)
        g_assert_cmpuint(host_slots(fixture)[i], ==, 0);
    received_clear(&received);
}

/* Any value but 0 in the word means the same. */
static void test_hostile_word(Fixture *fixture, gconstpointer data)
{
    *host_word(fixture) = 0xdeadbeef;
    g_assert_cmpint(send_to_host(fixture, DATA), ==, VSOC_SEND_DONE);
    assert_received(fixture, 1, (guint32[]){DATA});
    g_assert_cmpuint(*host_word(fixture), ==, 0);
}

/* One direction with its doorbell. */
typedef struct {
    Fixture *fixture;
    enum vsoc_side side;
    int ring;        /* what it rings */
    int rung;        /* what it waits for */
    guint n_offsets; /* that it sends and expects, each with a counter of its own */
    gint64 n_received;
} Side;

static guint32 offset_of(enum vsoc_side side, guint i)
{
    return DATA + 8 * i + (side == VSOC_HOST ? 0 : 4);
}

static void ring(int doorbell)
{
    g_assert_cmpint(eventfd_write(doorbell, 1), ==, 0);
}

static void send_count(Side *side, guint i, guint32 value)
{
    Fixture *fixture = side->fixture;
    enum vsoc_send result;

    __atomic_store_n(word(fixture, offset_of(side->side, i)), value, __ATOMIC_RELEASE);
    /*
     * An offset gets into a second slot when the receiver empties one before the slot that has it
     * already. With as many slots as offsets the table is then full, until the receiver, who is
     * awake, comes to the other; with one offset it never is.
     */
    while ((result = vsoc_signals_send(&fixture->ends[side->side], offset_of(side->side, i))) ==
           VSOC_SEND_FULL) {
        g_assert_cmpuint(side->n_offsets, >, 1);
        g_thread_yield();
    }
    if (result == VSOC_SEND_RING)
        ring(side->ring);
}

/*
 * Waits for the other side until all its counters were told to have got to the end: a signal that
 * is lost leaves the reader asleep with an old count for ever. The reader takes only what is told.
 */
static void receive_until(Side *side, guint32 *seen, guint32 wanted)
{
    for (guint n_there = 0; n_there < side->n_offsets;) {
        if (!vsoc_signals_are_waiting(&side->fixture->ends[side->side])) {
            eventfd_t count;
            g_assert_cmpint(eventfd_read(side->rung, &count), ==, 0);
        }
        g_auto(Received) received = receive(side->fixture, side->side);
        GArray *offsets = received.offsets;
        g_assert_cmpuint(received.result & ~VSOC_RECEIVED, ==, 0u);
        side->n_received += offsets->len;
        for (guint k = 0; k < offsets->len; k++) {
            guint32 offset = g_array_index(offsets, guint32, k);
            guint i = (offset - DATA) / 8;
            g_assert_cmpuint(i, <, side->n_offsets);
            g_assert_cmpuint(offset, ==, offset_of(!side->side, i));
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
        if (side->side == VSOC_HOST)
            send_count(side, 0, round);
        receive_until(side, seen, round);
        g_assert_cmpuint(seen[0], ==, round);
        if (side->side == VSOC_GUEST)
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
    sides[0] = (Side){fixture, VSOC_HOST, to_guest, to_host, n_offsets, 0};
    sides[1] = (Side){fixture, VSOC_GUEST, to_host, to_guest, n_offsets, 0};
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
        vsoc_signals_send(&fixture->ends[VSOC_HOST], DATA + 4 * (i % 64));
        g_auto(Received) received = receive(fixture, VSOC_HOST);
        GArray *offsets = received.offsets;
        g_assert_cmpuint(offsets->len, <=, 4);
        for (guint k = 0; k < offsets->len; k++) {
            guint32 offset = g_array_index(offsets, guint32, k);
            g_assert_true(offset != 0 && offset % 4 == 0 && offset <= SIZE - 4);
        }
    }
    g_atomic_int_set(&scribbler.is_over, 1);
    g_thread_join(thread);
}

#define ADD(name, function)                                                                        \
    g_test_add("/vsoc-signals/" name, Fixture, GUINT_TO_POINTER(2), set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("one-signal", test_one);
    ADD("signals-coalesce", test_coalesce);
    ADD("present-but-never-rung", test_present_but_unrung);
    ADD("table-full-at-the-fifth-of-four", test_full);
    ADD("round-trip-is-signalled-back", test_round_trip);
    ADD("round-trip-without-room-is-kept", test_round_trip_without_room);
    ADD("opener", test_opener);
    ADD("offsets-outside-are-dropped", test_hostile_values);
    ADD("range-of-the-receiver", test_range);
    ADD("word-of-any-value", test_hostile_word);
    ADD("lock-step-loses-none", test_lock_step);
    ADD("free-running-loses-none", test_free_running);
    ADD("hostile-peer-scribbles", test_hostile_peer);
    g_test_add("/vsoc-signals/one-slot", Fixture, GUINT_TO_POINTER(0), set_up, test_one, tear_down);
    return g_test_run();
}
