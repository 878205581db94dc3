/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/hexdump.h"

#include <string.h>

static char *dump(guint offset, const char *data, gsize size, gsize piece)
{
    CvdHexdump state = {0};
    GString *out = g_string_new(NULL);
    for (gsize at = 0; at < size; at += piece)
        cvd_hexdump_add(&state, out, offset + (guint)at, (const guint8 *)data + at,
                        MIN(piece, size - at));
    cvd_hexdump_end(out, offset + (guint)size);
    return g_string_free(out, FALSE);
}

static void test_lines(void)
{
    static const struct {
        const char *name;
        guint offset;
        const char *data;
        gsize size;
        const char *expected;
    } rows[] = {
        {"nothing", 0x28, "", 0, "00000028\n"},
        {"one byte", 0x28, "A", 1,
         "00000028  41                                                |A|\n"
         "00000029\n"},
        {"a whole line", 0x10, "0123456789abcde\n", 16,
         "00000010  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 0a  |0123456789abcde.|\n"
         "00000020\n"},
        {"what is not ASCII is a dot", 0x3fff, "\x00\x7f\x80\xff ~", 6,
         "00003fff  00 7f 80 ff 20 7e                                 |.... ~|\n"
         "00004005\n"},
        {"a line and a byte", 0, "aaaaaaaaaaaaaaaaa", 17,
         "00000000  61 61 61 61 61 61 61 61  61 61 61 61 61 61 61 61  |aaaaaaaaaaaaaaaa|\n"
         "00000010  61                                                |a|\n"
         "00000011\n"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].name);
        g_autofree char *text = dump(rows[i].offset, rows[i].data, rows[i].size, 16);
        g_assert_cmpstr(text, ==, rows[i].expected);
    }
}

/* Five equal lines, one that differs, two equal ones: however the bytes are cut. */
static void test_equal_lines_are_one_star(void)
{
    char data[8 * 16];
    memset(data, 'x', 5 * 16);
    memset(data + 5 * 16, 'y', 16);
    memset(data + 6 * 16, 'x', 2 * 16);

    for (gsize piece = 16; piece <= sizeof data; piece += 16) {
        g_autofree char *text = dump(0, data, sizeof data, piece);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        static const char *const starts[] = {"00000000", "*", "00000050",
                                             "00000060", "*", "00000080"};
        g_assert_cmpuint(g_strv_length(lines), ==, G_N_ELEMENTS(starts) + 1);
        for (guint i = 0; i < G_N_ELEMENTS(starts); i++)
            g_assert_true(g_str_has_prefix(lines[i], starts[i]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tool-hexdump/lines", test_lines);
    g_test_add_func("/tool-hexdump/equal-lines-are-one-star", test_equal_lines_are_one_star);
    return g_test_run();
}
