/* SPDX-License-Identifier: Apache-2.0 */
/* The client protocol as bytes: each conversation whole, split at every place, and byte by byte. */
#include "base/wire.h"
#include "base/error.h"

#include <string.h>

#define LENGTH(digits) "INFORM REGION_NAME_LEN: 0x" digits

typedef struct {
    const char *name;
    CvdWireExpects expects;
    const char *input;
    gsize size; /* 0: as long as the string */
    /* V: version, L: listing, B: bad length, R(name): region, E: malformed, m: waits inside a
     * message */
    const char *events;
    const char *error; /* what the message says when all comes at once */
} Case;

#define TEXT   CVD_WIRE_EXPECTS_VERSION
#define LEGACY CVD_WIRE_EXPECTS_LEGACY_LENGTH

/* Little-endian, as all platforms supported are. */
static const Case cases[] = {
    {"nothing", TEXT, "", 0, "", NULL},
    {"version", TEXT, "GET PROTOCOL_VER", 0, "V", NULL},
    {"version-incomplete", TEXT, "GET PROTOCOL_VE", 0, "m", NULL},
    {"handshake-long-form", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET REGION: abc", 0,
     "VR(abc)", NULL},
    {"handshake-bare-name", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "abc", 0, "VR(abc)", NULL},
    {"name-of-15", TEXT, "GET PROTOCOL_VER" LENGTH("0000000f") "GET REGION: abcdefghijklmno", 0,
     "VR(abcdefghijklmno)", NULL},
    {"name-of-15-bare-upper-case-digit", TEXT,
     "GET PROTOCOL_VER" LENGTH("0000000F") "abcdefghijklmno", 0, "VR(abcdefghijklmno)", NULL},
    {"length-16", TEXT, "GET PROTOCOL_VER" LENGTH("00000010"), 0, "VB", NULL},
    {"length-0", TEXT, "GET PROTOCOL_VER" LENGTH("00000000"), 0, "VB", NULL},
    {"length-huge", TEXT, "GET PROTOCOL_VER" LENGTH("ffFFffff"), 0, "VB", NULL},
    {"length-incomplete", TEXT, "GET PROTOCOL_VER" LENGTH("0000000"), 0, "Vm", NULL},
    {"name-incomplete", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "ab", 0, "Vm", NULL},
    {"long-name-incomplete", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET REGION: ab", 0, "Vm",
     NULL},
    {"name-has-not-begun", TEXT, "GET PROTOCOL_VER" LENGTH("00000003"), 0, "V", NULL},
    {"region-called-G-waits", TEXT, "GET PROTOCOL_VER" LENGTH("00000001") "G", 0, "Vm", NULL},
    {"region-called-GE-waits", TEXT, "GET PROTOCOL_VER" LENGTH("00000002") "GE", 0, "Vm", NULL},
    {"region-called-GET-waits", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET", 0, "Vm", NULL},
    {"region-called-G-long", TEXT, "GET PROTOCOL_VER" LENGTH("00000001") "GET REGION: G", 0,
     "VR(G)", NULL},
    {"region-called-GET-long", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET REGION: GET", 0,
     "VR(GET)", NULL},
    {"region-called-GETS", TEXT, "GET PROTOCOL_VER" LENGTH("00000004") "GETS", 0, "VR(GETS)", NULL},
    {"region-called-Gx", TEXT, "GET PROTOCOL_VER" LENGTH("00000002") "Gx", 0, "VR(Gx)", NULL},
    {"region-called-GEM", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GEM", 0, "VR(GEM)", NULL},
    {"bare-G-decided-by-the-next-message", TEXT,
     "GET PROTOCOL_VER" LENGTH("00000001") "G" LENGTH("00000001") "a", 0, "VR(G)R(a)", NULL},
    {"two-requests", TEXT,
     "GET PROTOCOL_VER" LENGTH("00000001") "a" LENGTH("00000002") "GET REGION: bc", 0, "VR(a)R(bc)",
     NULL},
    {"listing-then-region", TEXT, "GET PROTOCOL_VERGET REGIONS" LENGTH("00000001") "a", 0, "VLR(a)",
     NULL},
    {"region-then-listing", TEXT, "GET PROTOCOL_VER" LENGTH("00000001") "aGET REGIONS", 0, "VR(a)L",
     NULL},
    {"white-space-between", TEXT,
     " \r\nGET PROTOCOL_VER\r\n \n" LENGTH("00000003") "\n\n  GET REGION: abc\r\n", 0, "VR(abc)",
     NULL},
    {"white-space-before-bare-name", TEXT, "GET PROTOCOL_VER\n" LENGTH("00000003") "\nabc\n", 0,
     "VR(abc)", NULL},
    {"white-space-only", TEXT, " \r\n \r\n", 0, "", NULL},
    {"white-space-inside-a-name", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "a b", 0, "VR(a b)",
     NULL},
    {"white-space-starts-a-long-name", TEXT, "GET PROTOCOL_VER" LENGTH("00000002") "GET REGION:  a",
     0, "VR( a)", NULL},
    {"tab-is-not-white-space", TEXT, "\tGET PROTOCOL_VER", 0, "E",
     "expected `GET PROTOCOL_VER`, got \"\\x09GET PROTOCOL_VER\""},
    {"nul-is-not-white-space", TEXT, "\0GET", 4, "E",
     "expected `GET PROTOCOL_VER`, got \"\\x00GET\""},
    {"first-byte-wrong", TEXT, "x", 0, "E", "expected `GET PROTOCOL_VER`, got \"x\""},
    {"version-in-lower-case", TEXT, "get protocol_ver", 0, "E",
     "expected `GET PROTOCOL_VER`, got \"get protocol_ver\""},
    {"last-byte-wrong", TEXT, "GET PROTOCOL_VEX", 0, "E",
     "expected `GET PROTOCOL_VER`, got \"GET PROTOCOL_VEX\""},
    {"length-before-version", TEXT, LENGTH("00000003"), 0, "E",
     "expected `GET PROTOCOL_VER`, got \"INFORM REGION_NAME_LEN: 0x000000…\""},
    {"version-twice", TEXT, "GET PROTOCOL_VERGET PROTOCOL_VER", 0, "VE",
     "expected `INFORM REGION_NAME_LEN: 0x` or `GET REGIONS`, got \"GET PROTOCOL_VER\""},
    {"name-before-length", TEXT, "GET PROTOCOL_VERGET REGION: abc", 0, "VE",
     "expected `INFORM REGION_NAME_LEN: 0x` or `GET REGIONS`, got \"GET REGION: abc\""},
    {"digit-wrong", TEXT, "GET PROTOCOL_VER" LENGTH("0000g003"), 0, "VE",
     "expected 8 hexadecimal digits after `INFORM REGION_NAME_LEN: 0x`, got \"0000g003\""},
    {"length-without-0x", TEXT, "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 3", 0, "VE",
     "expected `INFORM REGION_NAME_LEN: 0x` or `GET REGIONS`, "
     "got \"INFORM REGION_NAME_LEN: 3\""},
    {"length-cut-short-by-a-line-break", TEXT, "GET PROTOCOL_VER" LENGTH("3\n"), 0, "VE",
     "expected 8 hexadecimal digits after `INFORM REGION_NAME_LEN: 0x`, got \"3\\x0a\""},
    {"long-form-misspelt", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET region: abc", 0, "VE",
     "expected `GET REGION: ` or a bare name, got \"GET region: abc\""},
    {"listing-in-place-of-a-name", TEXT, "GET PROTOCOL_VER" LENGTH("00000003") "GET REGIONS", 0,
     "VE", "expected `GET REGION: ` or a bare name, got \"GET REGIONS\""},
    {"33-bytes-are-not-all-shown", TEXT, "0123456789abcdef0123456789abcdefX", 0, "E",
     "expected `GET PROTOCOL_VER`, got \"0123456789abcdef0123456789abcdef…\""},
    {"32-bytes-are-all-shown", TEXT, "0123456789abcdef0123456789abcdef", 0, "E",
     "expected `GET PROTOCOL_VER`, got \"0123456789abcdef0123456789abcdef\""},
    {"legacy", LEGACY, "\3\0abc", 5, "R(abc)", NULL},
    {"legacy-15", LEGACY, "\17\0abcdefghijklmno", 17, "R(abcdefghijklmno)", NULL},
    {"legacy-16", LEGACY, "\20\0", 2, "B", NULL},
    {"legacy-0", LEGACY, "\0\0", 2, "B", NULL},
    {"legacy-negative", LEGACY, "\377\377", 2, "B", NULL},
    {"legacy-256", LEGACY, "\0\1", 2, "B", NULL},
    {"legacy-length-incomplete", LEGACY, "\3", 1, "m", NULL},
    {"legacy-name-incomplete", LEGACY, "\3\0ab", 4, "m", NULL},
    {"legacy-white-space-counts", LEGACY, "\3\0 \n ", 5, "R( \n )", NULL},
    {"legacy-length-10-is-no-white-space", LEGACY, "\n\0abcdefghij", 12, "R(abcdefghij)", NULL},
    {"legacy-more-after-the-name", LEGACY, "\1\0ab", 4, "R(a)E",
     "expected nothing more, got \"b\""},
};

static gboolean collect(CvdWireParser *parser, GString *events, char **message)
{
    for (;;) {
        CvdWireName name = {0};
        g_autoptr(GError) error = NULL;
        switch (cvd_wire_parser_next(parser, &name, &error)) {
        case CVD_WIRE_MORE:
            return TRUE;
        case CVD_WIRE_VERSION:
            g_string_append_c(events, 'V');
            break;
        case CVD_WIRE_LIST:
            g_string_append_c(events, 'L');
            break;
        case CVD_WIRE_BAD_LENGTH:
            g_string_append_c(events, 'B');
            return FALSE;
        case CVD_WIRE_REGION:
            g_string_append_printf(events, "R(%.*s)", (int)name.length, name.bytes);
            break;
        case CVD_WIRE_MALFORMED:
            g_assert_error(error, CVD_ERROR, CVD_ERROR_PROTOCOL);
            g_string_append_c(events, 'E');
            *message = g_strdup(error->message);
            return FALSE;
        }
    }
}

static gboolean feed(CvdWireParser *parser, const char *bytes, gsize size, GString *events,
                     char **message)
{
    while (size > 0) {
        gsize room;
        char *to = cvd_wire_parser_get_room(parser, &room);
        gsize n = MIN(room, size);
        memcpy(to, bytes, n);
        cvd_wire_parser_add(parser, n);
        bytes += n;
        size -= n;
        if (!collect(parser, events, message))
            return FALSE;
    }
    return TRUE;
}

/* @split bytes come first, then the rest; or, when @split is −1, one after the other. */
static void run_case(const Case *c, gssize split)
{
    gsize size = c->size != 0 ? c->size : strlen(c->input);
    CvdWireParser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;
    gboolean is_alive = TRUE;

    cvd_wire_parser_init(&parser, c->expects);
    if (split < 0) {
        for (gsize i = 0; i < size && is_alive; i++)
            is_alive = feed(&parser, c->input + i, 1, events, &message);
    } else {
        is_alive = feed(&parser, c->input, (gsize)split, events, &message) &&
                   feed(&parser, c->input + split, size - (gsize)split, events, &message);
    }
    if (is_alive && cvd_wire_parser_has_begun(&parser))
        g_string_append_c(events, 'm');
    g_assert_cmpstr(events->str, ==, c->events);
    g_assert_cmpint(message != NULL, ==, c->error != NULL);
    if ((gsize)split == size)
        g_assert_cmpstr(message, ==, c->error);
}

static void test_case(gconstpointer data)
{
    const Case *c = data;
    gsize size = c->size != 0 ? c->size : strlen(c->input);

    for (gsize split = 0; split <= size; split++)
        run_case(c, (gssize)split);
    run_case(c, -1);
}

/* A buffer full of white space leaves room for the next byte, however much of it comes. */
static void test_white_space_without_end(void)
{
    CvdWireParser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;
    char spaces[CVD_WIRE_BUFFER_SIZE];

    memset(spaces, ' ', sizeof spaces);
    cvd_wire_parser_init(&parser, CVD_WIRE_EXPECTS_VERSION);
    for (guint i = 0; i < 100; i++)
        g_assert_true(feed(&parser, spaces, sizeof spaces, events, &message));
    g_assert_true(feed(&parser, "GET PROTOCOL_VER", 16, events, &message));
    g_assert_cmpstr(events->str, ==, "V");
}

/* The longest incomplete message still leaves room. */
static void test_room_inside_every_message(void)
{
    const char conversation[] =
        "GET PROTOCOL_VER" LENGTH("0000000f") "GET REGION: abcdefghijklmno" LENGTH("0000000f");
    CvdWireParser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;

    cvd_wire_parser_init(&parser, CVD_WIRE_EXPECTS_VERSION);
    for (gsize i = 0; i < sizeof conversation - 1; i++) {
        gsize room;
        cvd_wire_parser_get_room(&parser, &room);
        g_assert_cmpuint(room, >=, CVD_WIRE_BUFFER_SIZE - 34);
        g_assert_true(feed(&parser, conversation + i, 1, events, &message));
    }
}

static void test_numbers(void)
{
    char text[CVD_WIRE_NUMBER_SIZE + 1];

    g_assert_cmpuint(cvd_wire_format_number(text, 0), ==, 10);
    g_assert_cmpstr(text, ==, "0x00000000");
    g_assert_cmpuint(cvd_wire_format_number(text, 0xabcdef), ==, 10);
    g_assert_cmpstr(text, ==, "0x00abcdef");
    g_assert_cmpuint(cvd_wire_format_number(text, CVD_WIRE_UNKNOWN), ==, 10);
    g_assert_cmpstr(text, ==, "0xffffffff");
}

static void test_entries(void)
{
    char text[CVD_WIRE_ENTRY_SIZE + 1];

    g_assert_cmpuint(cvd_wire_format_entry(text, 4096, 20480, "misc"), ==, 34);
    g_assert_cmpstr(text, ==, "0x000010000x000050000x00000004misc");
    g_assert_cmpuint(cvd_wire_format_entry(text, 0x7ffff000, 0x80000000, "abcdefghijklmno"), ==,
                     45);
    g_assert_cmpstr(text, ==, "0x7ffff0000x800000000x0000000fabcdefghijklmno");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/wire/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/wire/white-space-without-end", test_white_space_without_end);
    g_test_add_func("/wire/room-inside-every-message", test_room_inside_every_message);
    g_test_add_func("/wire/format/numbers", test_numbers);
    g_test_add_func("/wire/format/entries", test_entries);
    return g_test_run();
}
