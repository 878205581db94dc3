/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client protocol as bytes: the server's side, each conversation whole, split at every place,
 * and byte by byte; then the client's, with what the server formats.
 */
#include "vsoc/wire.h"

#include "base/log.h"
#include "vsoc/window.h"

#include "tests/support/rows.h"

#include <string.h>

#define LENGTH(digits)  "INFORM REGION_NAME_LEN: 0x" digits
#define OBSERVE(digits) "OBSERVE REGION_NAME_LEN: 0x" digits

typedef struct {
    const char *name;
    enum vsoc_wire_expects expects;
    const char *input;
    gsize size; /* 0: as long as the string */
    /* V: version, L: listing, B: bad length, R(name), O(name): region, to observe, E: malformed, m:
     * waits inside a message */
    const char *events;
    const char *error; /* what the message says when all comes at once */
} Case;

#define TEXT   VSOC_WIRE_EXPECTS_VERSION
#define LEGACY VSOC_WIRE_EXPECTS_LEGACY_LENGTH

/* Little-endian, as all platforms supported are. */
static const Case conversations[] = {
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
    {"observe", TEXT, "GET PROTOCOL_VER" OBSERVE("00000003") "GET REGION: abc", 0, "VO(abc)", NULL},
    {"observe-bare-name", TEXT, "GET PROTOCOL_VER" OBSERVE("00000003") "abc", 0, "VO(abc)", NULL},
    {"observe-then-region", TEXT,
     "GET PROTOCOL_VER" OBSERVE("00000001") "a" LENGTH("00000001") "bGET REGIONS" OBSERVE(
         "00000001") "c",
     0, "VO(a)R(b)LO(c)", NULL},
    {"observe-incomplete", TEXT, "GET PROTOCOL_VEROBSERVE REGION_NAME_LEN: 0", 0, "Vm", NULL},
    {"observe-length-0", TEXT, "GET PROTOCOL_VER" OBSERVE("00000000"), 0, "VB", NULL},
    {"observe-digit-wrong", TEXT, "GET PROTOCOL_VER" OBSERVE("0000g003"), 0, "VE",
     "expected 8 hexadecimal digits after `OBSERVE REGION_NAME_LEN: 0x`, got \"0000g003\""},
    {"observe-misspelt", TEXT, "GET PROTOCOL_VEROBSERVES", 0, "VE",
     "expected `INFORM REGION_NAME_LEN: 0x` or `GET REGIONS`, got \"OBSERVES\""},
    {"region-called-OBSERVE", TEXT, "GET PROTOCOL_VER" LENGTH("00000007") "OBSERVE", 0,
     "VR(OBSERVE)", NULL},
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

static gboolean collect(struct vsoc_wire_parser *parser, GString *events, char **message)
{
    for (;;) {
        struct vsoc_wire_name name = {0};
        gsize wrong;
        switch (vsoc_wire_next(parser, &name)) {
        case VSOC_WIRE_MORE:
            return TRUE;
        case VSOC_WIRE_VERSION:
            g_string_append_c(events, 'V');
            break;
        case VSOC_WIRE_LIST:
            g_string_append_c(events, 'L');
            break;
        case VSOC_WIRE_BAD_LENGTH:
            g_string_append_c(events, 'B');
            return FALSE;
        case VSOC_WIRE_REGION:
            g_string_append_printf(events, "%c(%.*s)", name.observes ? 'O' : 'R', (int)name.length,
                                   name.bytes);
            break;
        case VSOC_WIRE_MALFORMED: {
            const char *wanted = vsoc_wire_get_wanted(parser, &wrong);
            g_autofree char *got = cvd_escape_bytes(parser->bytes + wrong, parser->n_bytes - wrong);
            g_string_append_c(events, 'E');
            *message = g_strdup_printf("expected %s, got \"%s\"", wanted, got);
            return FALSE;
        }
        }
    }
}

static gboolean feed(struct vsoc_wire_parser *parser, const char *bytes, gsize size,
                     GString *events, char **message)
{
    while (size > 0) {
        gsize room;
        char *to = vsoc_wire_get_room(parser, &room);
        gsize n = MIN(room, size);
        memcpy(to, bytes, n);
        vsoc_wire_add(parser, n);
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
    struct vsoc_wire_parser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;
    gboolean is_alive = TRUE;

    vsoc_wire_init(&parser, c->expects);
    if (split < 0) {
        for (gsize i = 0; i < size && is_alive; i++)
            is_alive = feed(&parser, c->input + i, 1, events, &message);
    } else {
        is_alive = feed(&parser, c->input, (gsize)split, events, &message) &&
                   feed(&parser, c->input + split, size - (gsize)split, events, &message);
    }
    if (is_alive && vsoc_wire_has_begun(&parser))
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
    struct vsoc_wire_parser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;
    char spaces[VSOC_WIRE_BUFFER_SIZE];

    memset(spaces, ' ', sizeof spaces);
    vsoc_wire_init(&parser, VSOC_WIRE_EXPECTS_VERSION);
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
    struct vsoc_wire_parser parser;
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *message = NULL;

    vsoc_wire_init(&parser, VSOC_WIRE_EXPECTS_VERSION);
    for (gsize i = 0; i < sizeof conversation - 1; i++) {
        gsize room;
        vsoc_wire_get_room(&parser, &room);
        g_assert_cmpuint(room, >=, VSOC_WIRE_BUFFER_SIZE - 34);
        g_assert_true(feed(&parser, conversation + i, 1, events, &message));
    }
}

static void test_format_numbers(void)
{
    char text[VSOC_WIRE_NUMBER_SIZE + 1];

    g_assert_cmpuint(vsoc_wire_format_number(text, 0), ==, 10);
    g_assert_cmpstr(text, ==, "0x00000000");
    g_assert_cmpuint(vsoc_wire_format_number(text, 0xabcdef), ==, 10);
    g_assert_cmpstr(text, ==, "0x00abcdef");
    g_assert_cmpuint(vsoc_wire_format_number(text, VSOC_WIRE_UNKNOWN), ==, 10);
    g_assert_cmpstr(text, ==, "0xffffffff");
}

static void test_format_entries(void)
{
    char text[VSOC_WIRE_ENTRY_SIZE + 1];

    g_assert_cmpuint(vsoc_wire_format_entry(text, 4096, 20480, "misc"), ==, 34);
    g_assert_cmpstr(text, ==, "0x000010000x000050000x00000004misc");
    g_assert_cmpuint(vsoc_wire_format_entry(text, 0x7ffff000, 0x80000000, "abcdefghijklmno"), ==,
                     45);
    g_assert_cmpstr(text, ==, "0x7ffff0000x800000000x0000000fabcdefghijklmno");
}

static gboolean is_name(const char *name)
{
    guint32 n;

    return vsoc_name_check(name, strlen(name), &n) == VSOC_NAME_GOOD;
}

static void test_names(void)
{
    g_assert_true(is_name("a"));
    g_assert_true(is_name("AZaz09_-."));
    g_assert_true(is_name("123456789012345"));
    g_assert_false(is_name("1234567890123456"));
    g_assert_false(is_name(""));
    g_assert_false(is_name("a b"));
    g_assert_false(is_name("a/b"));
    g_assert_false(is_name("\xc3\xa4"));
    g_assert_false(is_name("."));
    g_assert_false(is_name(".."));
    g_assert_true(is_name("..."));
}

static void test_request(void)
{
    char out[VSOC_WIRE_MAX_REQUEST + 1];

    g_assert_cmpuint(vsoc_wire_format_request(out, "hwcomposer", false), ==, 34 + 12 + 10);
    g_assert_cmpstr(out, ==, "INFORM REGION_NAME_LEN: 0x0000000aGET REGION: hwcomposer");
    g_assert_cmpuint(vsoc_wire_format_request(out, "123456789012345", true), ==,
                     VSOC_WIRE_MAX_REQUEST);
    g_assert_cmpstr(out, ==, "OBSERVE REGION_NAME_LEN: 0x0000000fGET REGION: 123456789012345");
}

static void test_request_is_understood(void)
{
    struct vsoc_wire_parser parser;
    struct vsoc_wire_name name;
    char text[VSOC_WIRE_MAX_REQUEST + 1];
    gsize room;

    vsoc_wire_init(&parser, VSOC_WIRE_EXPECTS_VERSION);
    memcpy(vsoc_wire_get_room(&parser, &room), VSOC_WIRE_GET_VERSION,
           strlen(VSOC_WIRE_GET_VERSION));
    vsoc_wire_add(&parser, strlen(VSOC_WIRE_GET_VERSION));
    g_assert_cmpint(vsoc_wire_next(&parser, &name), ==, VSOC_WIRE_VERSION);

    gsize size = vsoc_wire_format_request(text, "sensors", false);
    memcpy(vsoc_wire_get_room(&parser, &room), text, size);
    vsoc_wire_add(&parser, size);
    g_assert_cmpint(vsoc_wire_next(&parser, &name), ==, VSOC_WIRE_REGION);
    g_assert_cmpstr(name.bytes, ==, "sensors");

    memcpy(vsoc_wire_get_room(&parser, &room), VSOC_WIRE_GET_REGIONS,
           strlen(VSOC_WIRE_GET_REGIONS));
    vsoc_wire_add(&parser, strlen(VSOC_WIRE_GET_REGIONS));
    g_assert_cmpint(vsoc_wire_next(&parser, &name), ==, VSOC_WIRE_LIST);
}

static void test_versions(void)
{
    static const struct {
        const char *text;
        enum vsoc_wire_version expected;
    } cases[] = {
        {"PROTOCOL_VER 0", VSOC_WIRE_VERSION_0},
        {"PROTOCOL_VER 1", VSOC_WIRE_VERSION_OTHER},
        {"PROTOCOL_VER", VSOC_WIRE_VERSION_MORE},
        {"PROTOCOL_VER ", VSOC_WIRE_VERSION_MORE},
        {"P", VSOC_WIRE_VERSION_MORE},
        {"0", VSOC_WIRE_VERSION_MORE},
        {"0x0000000", VSOC_WIRE_VERSION_MORE},
        {"0x00000000", VSOC_WIRE_VERSION_0},
        {"0x00000000x", VSOC_WIRE_VERSION_MALFORMED},
        {"0x00000001", VSOC_WIRE_VERSION_OTHER},
        {"0x0000000g", VSOC_WIRE_VERSION_MALFORMED},
        {"0x1", VSOC_WIRE_VERSION_MORE},
        {"protocol_ver 0", VSOC_WIRE_VERSION_MALFORMED},
        {"PROTOCOLS", VSOC_WIRE_VERSION_MALFORMED},
        {" PROTOCOL_VER", VSOC_WIRE_VERSION_MALFORMED},
        {"", VSOC_WIRE_VERSION_MORE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(vsoc_wire_parse_version(cases[i].text, strlen(cases[i].text)), ==,
                        cases[i].expected);
    }
}

static void test_numbers(void)
{
    guint32 number = 7;

    g_assert_true(vsoc_wire_parse_number("0x00000000", &number));
    g_assert_cmpuint(number, ==, 0);
    g_assert_true(vsoc_wire_parse_number("0xfffFFFff", &number));
    g_assert_cmpuint(number, ==, VSOC_WIRE_UNKNOWN);
    g_assert_true(vsoc_wire_parse_number("0x0010aBcD", &number));
    g_assert_cmpuint(number, ==, 0x10abcd);
    g_assert_false(vsoc_wire_parse_number("0X00000000", &number));
    g_assert_false(vsoc_wire_parse_number("0000000000", &number));
    g_assert_false(vsoc_wire_parse_number("0x0000000 ", &number));
    g_assert_false(vsoc_wire_parse_number("0x-0000001", &number));
    g_assert_cmpuint(number, ==, 0x10abcd);
}

/* What the server formats, at every length. */
static void test_entry_in_pieces(void)
{
    char text[VSOC_WIRE_ENTRY_SIZE + 1];
    struct vsoc_wire_entry entry;
    gsize used;
    gsize size = vsoc_wire_format_entry(text, 0x1000, 0x5000, "123456789012345");

    for (gsize n = 0; n < size; n++)
        g_assert_cmpint(vsoc_wire_parse_entry(text, n, &entry, &used), ==, VSOC_WIRE_INCOMPLETE);
    g_assert_cmpint(vsoc_wire_parse_entry(text, size, &entry, &used), ==, VSOC_WIRE_PARSED);
    g_assert_cmpuint(used, ==, size);
    g_assert_cmpuint(entry.begin, ==, 0x1000);
    g_assert_cmpuint(entry.end, ==, 0x5000);
    g_assert_cmpstr(entry.name, ==, "123456789012345");
}

static void test_wrong_entries(void)
{
    static const char *const cases[] = {
        "0x000010000x000020000x00000000",    "0x000010000x000020000x000000101234567890123456",
        "0x000010000x000020000x00000003a b", "0x000010000x0000200g0x00000001a",
        "garbage-garbage-garbage-garbage",
    };
    static const char with_nul[] = "0x000010000x000020000x00000003a\0b";
    struct vsoc_wire_entry entry;
    gsize used;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(vsoc_wire_parse_entry(cases[i], strlen(cases[i]), &entry, &used), ==,
                        VSOC_WIRE_WRONG);
    g_assert_cmpint(vsoc_wire_parse_entry(with_nul, sizeof with_nul - 1, &entry, &used), ==,
                    VSOC_WIRE_WRONG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/vsoc-wire/", conversations, test_case);
    g_test_add_func("/vsoc-wire/white-space-without-end", test_white_space_without_end);
    g_test_add_func("/vsoc-wire/room-inside-every-message", test_room_inside_every_message);
    g_test_add_func("/vsoc-wire/format/numbers", test_format_numbers);
    g_test_add_func("/vsoc-wire/format/entries", test_format_entries);
    g_test_add_func("/vsoc-wire/client/names", test_names);
    g_test_add_func("/vsoc-wire/client/request", test_request);
    g_test_add_func("/vsoc-wire/client/request-is-understood", test_request_is_understood);
    g_test_add_func("/vsoc-wire/client/versions", test_versions);
    g_test_add_func("/vsoc-wire/client/numbers", test_numbers);
    g_test_add_func("/vsoc-wire/client/entry-in-pieces", test_entry_in_pieces);
    g_test_add_func("/vsoc-wire/client/wrong-entries", test_wrong_entries);
    return g_test_run();
}
