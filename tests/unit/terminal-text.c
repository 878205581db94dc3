/* SPDX-License-Identifier: Apache-2.0 */
#include "base/terminal-text.h"

#include <string.h>

#define TEXT(literal) literal, sizeof literal - 1

static const struct {
    const char *bytes;
    gsize size;
    const char *shown;
} cases[] = {
    {TEXT(""), ""},
    {TEXT("plain ~ text\n\tand tab"), "plain ~ text\n\tand tab"},
    {TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0"),
     "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0"},
    {TEXT("a\x1b[31mb\x7f\x01"), "a\\x1b[31mb\\x7f\\x01"},
    {TEXT("nul \0."), "nul \\x00."},
    {TEXT("DCS \xc2\x90 CSI \xc2\x9b OSC \xc2\x9d"),
     "DCS \\xc2\\x90 CSI \\xc2\\x9b OSC \\xc2\\x9d"},
    {TEXT("8-bit \x90 \x9b \x9d"), "8-bit \\x90 \\x9b \\x9d"},
    {TEXT("over\xc0\xaflong"), "over\\xc0\\xaflong"},
    {TEXT("surrogate \xed\xa0\x80"), "surrogate \\xed\\xa0\\x80"},
    {TEXT("cut \xe2\x82"), "cut \\xe2\\x82"},
    {TEXT("dos\r\nmac\n\runix\n"), "dos\nmac\nunix\n"},
    {TEXT("over\rwritten\r"), "over\\x0dwritten\\x0d"},
};

static void test_whole(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        gsize n = cvd_terminal_text_append(out, cases[i].bytes, cases[i].size, TRUE);
        g_assert_cmpuint(n, ==, cases[i].size);
        g_assert_cmpstr(out->str, ==, cases[i].shown);
    }
}

/* What was not taken is offered again with what comes. */
static void test_split_everywhere(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        for (gsize split = 0; split <= cases[i].size; split++) {
            g_autoptr(GString) out = g_string_new(NULL);
            gsize n = cvd_terminal_text_append(out, cases[i].bytes, split, FALSE);
            g_assert_cmpuint(n, <=, split);
            cvd_terminal_text_append(out, cases[i].bytes + n, cases[i].size - n, TRUE);
            g_assert_cmpstr(out->str, ==, cases[i].shown);
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/terminal-text/whole", test_whole);
    g_test_add_func("/terminal-text/split-everywhere", test_split_everywhere);
    return g_test_run();
}
