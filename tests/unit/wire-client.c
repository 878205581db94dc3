/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wire-client.h"

#include <string.h>

static void test_names(void)
{
    g_assert_true(cvd_wire_is_region_name("a"));
    g_assert_true(cvd_wire_is_region_name("AZaz09_-."));
    g_assert_true(cvd_wire_is_region_name("123456789012345"));
    g_assert_false(cvd_wire_is_region_name("1234567890123456"));
    g_assert_false(cvd_wire_is_region_name(""));
    g_assert_false(cvd_wire_is_region_name("a b"));
    g_assert_false(cvd_wire_is_region_name("a/b"));
    g_assert_false(cvd_wire_is_region_name("\xc3\xa4"));
}

static void test_request(void)
{
    char out[CVD_WIRE_MAX_REQUEST + 1];

    g_assert_cmpuint(cvd_wire_format_request(out, "hwcomposer"), ==, 34 + 12 + 10);
    g_assert_cmpstr(out, ==, "INFORM REGION_NAME_LEN: 0x0000000aGET REGION: hwcomposer");
    g_assert_cmpuint(cvd_wire_format_request(out, "123456789012345"), ==, CVD_WIRE_MAX_REQUEST);
    g_assert_cmpstr(out, ==, "INFORM REGION_NAME_LEN: 0x0000000fGET REGION: 123456789012345");
}

static void test_request_is_understood(void)
{
    CvdWireParser parser;
    CvdWireName name;
    char text[CVD_WIRE_MAX_REQUEST + 1];
    gsize room;

    cvd_wire_parser_init(&parser, CVD_WIRE_EXPECTS_VERSION);
    memcpy(cvd_wire_parser_get_room(&parser, &room), CVD_WIRE_GET_VERSION,
           strlen(CVD_WIRE_GET_VERSION));
    cvd_wire_parser_add(&parser, strlen(CVD_WIRE_GET_VERSION));
    g_assert_cmpint(cvd_wire_parser_next(&parser, &name, NULL), ==, CVD_WIRE_VERSION);

    gsize size = cvd_wire_format_request(text, "sensors");
    memcpy(cvd_wire_parser_get_room(&parser, &room), text, size);
    cvd_wire_parser_add(&parser, size);
    g_assert_cmpint(cvd_wire_parser_next(&parser, &name, NULL), ==, CVD_WIRE_REGION);
    g_assert_cmpstr(name.bytes, ==, "sensors");

    memcpy(cvd_wire_parser_get_room(&parser, &room), CVD_WIRE_GET_REGIONS,
           strlen(CVD_WIRE_GET_REGIONS));
    cvd_wire_parser_add(&parser, strlen(CVD_WIRE_GET_REGIONS));
    g_assert_cmpint(cvd_wire_parser_next(&parser, &name, NULL), ==, CVD_WIRE_LIST);
}

static void test_versions(void)
{
    static const struct {
        const char *text;
        CvdWireVersion expected;
    } cases[] = {
        {"PROTOCOL_VER 0", CVD_WIRE_VERSION_0},
        {"PROTOCOL_VER 1", CVD_WIRE_VERSION_OTHER},
        {"PROTOCOL_VER", CVD_WIRE_VERSION_MORE},
        {"PROTOCOL_VER ", CVD_WIRE_VERSION_MORE},
        {"P", CVD_WIRE_VERSION_MORE},
        {"0", CVD_WIRE_VERSION_MORE},
        {"0x0000000", CVD_WIRE_VERSION_MORE},
        {"0x00000000", CVD_WIRE_VERSION_0},
        {"0x00000000x", CVD_WIRE_VERSION_MALFORMED},
        {"0x00000001", CVD_WIRE_VERSION_OTHER},
        {"0x0000000g", CVD_WIRE_VERSION_MALFORMED},
        {"0x1", CVD_WIRE_VERSION_MORE},
        {"protocol_ver 0", CVD_WIRE_VERSION_MALFORMED},
        {"PROTOCOLS", CVD_WIRE_VERSION_MALFORMED},
        {" PROTOCOL_VER", CVD_WIRE_VERSION_MALFORMED},
        {"", CVD_WIRE_VERSION_MORE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("\"%s\"", cases[i].text);
        g_assert_cmpint(cvd_wire_parse_version(cases[i].text, strlen(cases[i].text)), ==,
                        cases[i].expected);
    }
}

static void test_numbers(void)
{
    guint32 number = 7;

    g_assert_true(cvd_wire_parse_number("0x00000000", &number));
    g_assert_cmpuint(number, ==, 0);
    g_assert_true(cvd_wire_parse_number("0xfffFFFff", &number));
    g_assert_cmpuint(number, ==, CVD_WIRE_UNKNOWN);
    g_assert_true(cvd_wire_parse_number("0x0010aBcD", &number));
    g_assert_cmpuint(number, ==, 0x10abcd);
    g_assert_false(cvd_wire_parse_number("0X00000000", &number));
    g_assert_false(cvd_wire_parse_number("0000000000", &number));
    g_assert_false(cvd_wire_parse_number("0x0000000 ", &number));
    g_assert_false(cvd_wire_parse_number("0x-0000001", &number));
    g_assert_cmpuint(number, ==, 0x10abcd);
}

/* What the server formats, at every length. */
static void test_entry_in_pieces(void)
{
    char text[CVD_WIRE_ENTRY_SIZE + 1];
    CvdWireEntry entry;
    gsize used;
    gsize size = cvd_wire_format_entry(text, 0x1000, 0x5000, "123456789012345");

    for (gsize n = 0; n < size; n++)
        g_assert_cmpint(cvd_wire_parse_entry(text, n, &entry, &used), ==, CVD_WIRE_INCOMPLETE);
    g_assert_cmpint(cvd_wire_parse_entry(text, size, &entry, &used), ==, CVD_WIRE_PARSED);
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
    CvdWireEntry entry;
    gsize used;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(cvd_wire_parse_entry(cases[i], strlen(cases[i]), &entry, &used), ==,
                        CVD_WIRE_WRONG);
    g_assert_cmpint(cvd_wire_parse_entry(with_nul, sizeof with_nul - 1, &entry, &used), ==,
                    CVD_WIRE_WRONG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-client/names", test_names);
    g_test_add_func("/wire-client/request", test_request);
    g_test_add_func("/wire-client/request-is-understood", test_request_is_understood);
    g_test_add_func("/wire-client/versions", test_versions);
    g_test_add_func("/wire-client/numbers", test_numbers);
    g_test_add_func("/wire-client/entry-in-pieces", test_entry_in_pieces);
    g_test_add_func("/wire-client/wrong-entries", test_wrong_entries);
    return g_test_run();
}
