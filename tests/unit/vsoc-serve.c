/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' service of a region: one region, the test playing the host, with counted rings and
 * drops. Expected values follow docs/window.md, Signals.
 */
#include "vsoc/serve.h"

#include <glib.h>
#include <string.h>

#define BEGIN   4096u
#define SIZE    4096u
#define SLOTS   4u
#define G_TABLE 0u
#define G_WORD  16u
#define H_TABLE 20u
#define H_WORD  36u
#define DATA    40u

typedef struct {
    struct vsoc_service *guest;
    guint32 *window;
} Fixture;

static guint rings, full, bad, timers;
static guint32 dropped;

static void count_ring(void *data, guint32 region)
{
    g_assert_cmpuint(region, ==, 0);
    rings++;
}

static void count_timer(void *data)
{
    timers++;
}

/* Counts the lines about what was dropped. */
static void G_GNUC_PRINTF(2, 3) listen(void *data, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    const char *value = strstr(line, "0x");
    full += strstr(line, "table full") != NULL;
    bad += strstr(line, "bad offset") != NULL;
    g_assert_true(g_str_has_prefix(line, "region 0: ") || value == NULL);
    if (value != NULL)
        dropped = (guint32)g_ascii_strtoull(value, NULL, 16);
}

static const struct vsoc_service_hooks hooks = {count_ring, count_timer, listen, listen};

static void set_up(Fixture *f, gconstpointer data)
{
    struct vsoc_device_region *r;

    f->guest = g_new0(struct vsoc_service, 1);
    f->window = g_malloc0(BEGIN + SIZE);
    f->guest->hooks = &hooks;
    f->guest->window.base = (guint8 *)f->window;
    f->guest->window.layout.region_count = 1;
    r = &f->guest->window.regions[0];
    r->region_begin_offset = BEGIN;
    r->region_end_offset = BEGIN + SIZE;
    r->offset_of_region_data = DATA;
    r->guest_to_host_signal_table = (struct vsoc_signal_table_layout){2, G_TABLE, G_WORD};
    r->host_to_guest_signal_table = (struct vsoc_signal_table_layout){2, H_TABLE, H_WORD};
    rings = full = bad = timers = 0;
    dropped = 0;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_free(f->guest);
    g_free(f->window);
}

static guint32 *word(Fixture *f, guint32 offset)
{
    return f->window + (BEGIN + offset) / 4;
}

static gboolean receive(Fixture *f)
{
    return vsoc_service_serve(f->guest, 0, FALSE);
}

static guint count_slots(Fixture *f, guint32 table, guint32 value)
{
    guint n = 0;

    for (guint32 i = 0; i < SLOTS; i++)
        n += *word(f, table + 4 * i) == value;
    return n;
}

static void host_signals(Fixture *f, guint32 slot, guint32 value)
{
    *word(f, H_TABLE + 4 * slot) = value;
    *word(f, H_WORD) = 1;
}

static void nothing(Fixture *f, gconstpointer data)
{
    g_assert_false(receive(f));
    g_assert_cmpuint(rings, ==, 0);
    g_assert_cmpuint(count_slots(f, G_TABLE, 0), ==, SLOTS);
}

static void word_alone(Fixture *f, gconstpointer data)
{
    *word(f, H_WORD) = 1;
    vsoc_service_look_at(f->guest, 0);
    g_assert_true(vsoc_service_begin_round(f->guest));
    vsoc_service_end_round(f->guest);
    g_assert_cmpuint(*word(f, H_WORD), ==, 0);
    g_assert_false(vsoc_service_begin_round(f->guest));
    g_assert_cmpuint(rings, ==, 0);
}

/* A ring that finds nothing is sent back; one that finds something is not. */
static void bare_ring(Fixture *f, gconstpointer data)
{
    g_assert_false(vsoc_service_serve(f->guest, 0, TRUE));
    g_assert_cmpuint(rings, ==, 1);
    *word(f, H_WORD) = 1;
    g_assert_true(vsoc_service_serve(f->guest, 0, TRUE));
    g_assert_cmpuint(rings, ==, 1);
}

/* Its ring comes within the round in which it is due: it is served once, by that, and no echo. */
static void rung_while_due(Fixture *f, gconstpointer data)
{
    host_signals(f, 0, 1000);
    vsoc_service_look_at(f->guest, 0);
    g_assert_true(vsoc_service_begin_round(f->guest));
    g_assert_true(vsoc_service_serve(f->guest, 0, TRUE));
    g_assert_cmpint(vsoc_service_next(f->guest), ==, -1);
    g_assert_cmpuint(rings, ==, 1);
}

static void set_of_all_regions(Fixture *f, gconstpointer data)
{
    static const guint32 chosen[] = {0, 63, 64, 2047};

    for (guint i = 0; i < G_N_ELEMENTS(chosen); i++) {
        struct vsoc_device_region *r = &f->guest->window.regions[chosen[i]];
        *r = f->guest->window.regions[0];
        *word(f, H_WORD) = 1;
        vsoc_service_look_at(f->guest, chosen[i]);
    }
    g_assert_true(vsoc_service_begin_round(f->guest));
    for (guint i = 0; i < G_N_ELEMENTS(chosen); i++)
        g_assert_cmpint(vsoc_service_next(f->guest), ==, chosen[i]);
    g_assert_cmpint(vsoc_service_next(f->guest), ==, -1);
}

static void slot_alone(Fixture *f, gconstpointer data)
{
    *word(f, H_TABLE + 12) = 400;
    g_assert_true(receive(f));
    g_assert_cmpuint(count_slots(f, G_TABLE, 404), ==, 1);
}

static void one_signal(Fixture *f, gconstpointer data)
{
    *word(f, 1000) = 41;
    host_signals(f, 2, 1000);
    g_assert_true(receive(f));
    g_assert_cmpuint(*word(f, 1000), ==, 41);
    g_assert_cmpuint(*word(f, 1004), ==, 42);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1004), ==, 1);
    g_assert_cmpuint(count_slots(f, G_TABLE, 0), ==, SLOTS - 1);
    g_assert_cmpuint(*word(f, G_WORD), ==, 1);
    g_assert_cmpuint(rings, ==, 1);
    g_assert_cmpuint(*word(f, H_WORD), ==, 0);
    g_assert_cmpuint(count_slots(f, H_TABLE, 0), ==, SLOTS);
}

static void value_wraps(Fixture *f, gconstpointer data)
{
    *word(f, 1000) = G_MAXUINT32;
    *word(f, 1004) = 7;
    host_signals(f, 0, 1000);
    receive(f);
    g_assert_cmpuint(*word(f, 1004), ==, 0);
}

static void whole_table(Fixture *f, gconstpointer data)
{
    for (guint32 i = 0; i < SLOTS; i++)
        host_signals(f, i, 1000 + 8 * i);
    receive(f);
    for (guint32 i = 0; i < SLOTS; i++)
        g_assert_cmpuint(count_slots(f, G_TABLE, 1004 + 8 * i), ==, 1);
    g_assert_cmpuint(rings, ==, 1); /* the word was 0 only before the first */
    g_assert_cmpuint(full, ==, 0);
}

static void host_not_yet_looked(Fixture *f, gconstpointer data)
{
    *word(f, G_WORD) = 1;
    host_signals(f, 0, 1000);
    receive(f);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1004), ==, 1);
    g_assert_cmpuint(rings, ==, 0);
}

static void present_already(Fixture *f, gconstpointer data)
{
    /* Its inserter may have died before it set the word. All other slots are taken. */
    for (guint32 i = 0; i < SLOTS; i++)
        *word(f, G_TABLE + 4 * i) = i == 3 ? 1004 : 2000 + 4 * i;
    host_signals(f, 0, 1000);
    receive(f);
    g_assert_cmpuint(full, ==, 0);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1004), ==, 1);
    g_assert_cmpuint(*word(f, G_WORD), ==, 1);
    g_assert_cmpuint(rings, ==, 1);
}

static void fill_table(Fixture *f)
{
    for (guint32 i = 0; i < SLOTS; i++)
        *word(f, G_TABLE + 4 * i) = 2000 + 4 * i;
}

/* Nobody takes the answers: the signal waits in its place, and what is there stays. */
static void table_full(Fixture *f, gconstpointer data)
{
    fill_table(f);
    *word(f, 1000) = 41;
    host_signals(f, 1, 1000);
    g_assert_true(receive(f));
    g_assert_cmpuint(timers, ==, 1);
    g_assert_cmpuint(*word(f, H_TABLE + 4), ==, 1000);
    g_assert_cmpuint(*word(f, 1004), ==, 0);
    g_assert_cmpuint(rings, ==, 0);
    for (guint32 i = 0; i < SLOTS; i++)
        g_assert_cmpuint(*word(f, G_TABLE + 4 * i), ==, 2000 + 4 * i);

    /* A bare ring meanwhile is one, and is echoed. */
    g_assert_false(vsoc_service_serve(f->guest, 0, TRUE));
    g_assert_cmpuint(rings, ==, 1);
    g_assert_cmpuint(timers, ==, 1); /* that runs */

    *word(f, G_TABLE) = 0;
    vsoc_service_retry(f->guest);
    vsoc_service_end_round(f->guest);
    g_assert_cmpuint(timers, ==, 1);
    g_assert_cmpuint(*word(f, H_TABLE + 4), ==, 0);
    g_assert_cmpuint(*word(f, 1004), ==, 42);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1004), ==, 1);
    g_assert_cmpuint(rings, ==, 2);
    g_assert_cmpuint(full, ==, 0);
}

/* The timer is started anew as long as it takes. */
static void table_stays_full(Fixture *f, gconstpointer data)
{
    fill_table(f);
    host_signals(f, 1, 1000);
    for (guint i = 1; i <= 3; i++) {
        vsoc_service_retry(f->guest);
        vsoc_service_end_round(f->guest);
        receive(f);
        g_assert_cmpuint(timers, ==, i);
    }
}

/* One answer has a place already, another has none. */
static void table_full_for_some(Fixture *f, gconstpointer data)
{
    fill_table(f);
    *word(f, G_TABLE + 8) = 1012;
    host_signals(f, 0, 1000);
    host_signals(f, 1, 1008);
    g_assert_true(receive(f));
    g_assert_cmpuint(timers, ==, 1);
    g_assert_cmpuint(*word(f, H_TABLE), ==, 1000);
    g_assert_cmpuint(*word(f, H_TABLE + 4), ==, 0);
    g_assert_cmpuint(*word(f, 1012), ==, 1);
    g_assert_cmpuint(rings, ==, 1);
}

static void round_trip(Fixture *f, gconstpointer data)
{
    *word(f, 1000) = 5;
    host_signals(f, 0, 1000 | 1);
    receive(f);
    g_assert_cmpuint(*word(f, 1004), ==, 6);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1000), ==, 1);
    g_assert_cmpuint(count_slots(f, G_TABLE, 1004), ==, 1);
    g_assert_cmpuint(rings, ==, 1);
}

/* Its two answers never have room at once. */
static void round_trip_one_slot(Fixture *f, gconstpointer data)
{
    f->guest->window.regions[0].guest_to_host_signal_table.num_nodes_lg2 = 0;
    *word(f, G_TABLE) = 2000;
    host_signals(f, 0, 1000 | 1);
    g_assert_true(receive(f));
    g_assert_cmpuint(*word(f, H_TABLE), ==, (1000 | 1));

    *word(f, G_TABLE) = 0;
    g_assert_true(receive(f));
    g_assert_cmpuint(*word(f, G_TABLE), ==, 1000);
    g_assert_cmpuint(*word(f, H_TABLE), ==, 1000);
    g_assert_cmpuint(timers, ==, 1);
    g_assert_cmpuint(rings, ==, 1);

    *word(f, G_TABLE) = *word(f, G_WORD) = 0;
    g_assert_true(receive(f));
    g_assert_cmpuint(*word(f, G_TABLE), ==, 1004);
    g_assert_cmpuint(*word(f, H_TABLE), ==, 0);
    g_assert_cmpuint(rings, ==, 2);
    g_assert_cmpuint(full, ==, 0);
}

/* Not an answer: whoever asks for it is told. */
static void send_without_room(Fixture *f, gconstpointer data)
{
    fill_table(f);
    vsoc_service_signal(f->guest, 0, 1000);
    g_assert_cmpuint(full, ==, 1);
    g_assert_cmpuint(dropped, ==, 1000);
    g_assert_cmpuint(rings, ==, 0);
}

static void opener(Fixture *f, gconstpointer data)
{
    vsoc_service_look_at_all(f->guest);
    g_assert_cmpuint(rings, ==, 0);

    *word(f, G_WORD) = 1;
    vsoc_service_look_at_all(f->guest);
    g_assert_cmpuint(rings, ==, 1);
    g_assert_cmpuint(*word(f, G_WORD), ==, 1);

    *word(f, G_WORD) = 0;
    host_signals(f, 1, 1000);
    vsoc_service_look_at_all(f->guest);
    g_assert_cmpuint(rings, ==, 2);
    g_assert_cmpuint(*word(f, 1004), ==, 1);
}

static void bad_offsets(Fixture *f, gconstpointer data)
{
    static const guint32 offsets[] = {1,        2,          3,          4,          H_WORD,
                                      DATA - 1, SIZE - 4,   SIZE,       SIZE + 4,   0x7ffffffc,
                                      1u << 31, 0xfffffff8, 0xfffffffc, G_MAXUINT32};

    for (guint i = 0; i < G_N_ELEMENTS(offsets); i++) {
        host_signals(f, 0, offsets[i]);
        g_assert_true(receive(f));
        g_assert_cmpuint(bad, ==, i + 1);
        g_assert_cmpuint(dropped, ==, offsets[i]);
        g_assert_cmpuint(rings, ==, 0);
        g_assert_cmpuint(count_slots(f, G_TABLE, 0), ==, SLOTS);
    }
}

static void border_offsets(Fixture *f, gconstpointer data)
{
    static const guint32 offsets[] = {DATA, SIZE - 8};

    for (guint i = 0; i < G_N_ELEMENTS(offsets); i++) {
        host_signals(f, 0, offsets[i]);
        receive(f);
        g_assert_cmpuint(count_slots(f, G_TABLE, offsets[i] + 4), ==, 1);
        g_assert_cmpuint(*word(f, offsets[i] + 4), ==, 1);
    }
    g_assert_cmpuint(bad, ==, 0);
}

#define ADD(path, func) g_test_add("/vsoc-serve/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("nothing", nothing);
    ADD("word-alone", word_alone);
    ADD("bare-ring", bare_ring);
    ADD("rung-while-due", rung_while_due);
    ADD("set-of-all-regions", set_of_all_regions);
    ADD("slot-alone", slot_alone);
    ADD("one-signal", one_signal);
    ADD("value-wraps", value_wraps);
    ADD("whole-table", whole_table);
    ADD("host-has-not-yet-looked", host_not_yet_looked);
    ADD("present-already", present_already);
    ADD("table-full", table_full);
    ADD("table-stays-full", table_stays_full);
    ADD("table-full-for-some", table_full_for_some);
    ADD("send-without-room", send_without_room);
    ADD("round-trip", round_trip);
    ADD("round-trip-with-one-slot", round_trip_one_slot);
    ADD("opener", opener);
    ADD("bad-offsets", bad_offsets);
    ADD("border-offsets", border_offsets);
    return g_test_run();
}
