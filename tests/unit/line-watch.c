/* SPDX-License-Identifier: Apache-2.0 */
/* A line that is looked for in what a guest prints, however it prints that. */
#include "launcher/qemu/line-watch.h"

#include "base/error.h"

#include <string.h>

#include "tests/support/rows.h"

#define N_ROUNDS 2000

typedef struct {
    const char *name;
    const char *pattern;
    const char *text;
    gboolean matches;
} Row;

static const Row rows[] = {
    {"line", "ready", "booting\nnow ready to serve\n", TRUE},
    {"no-line", "ready", "read\ny\n", FALSE},
    {"prompt", "^debian login: ", "Debian 12\r\n\r\ndebian login: ", TRUE},
    {"prompt-with-spaces-that-may-follow", "login:\\s*", "debian login: ", TRUE},
    {"end-of-a-prompt", "login: $", "debian login: ", FALSE},
    {"end-of-a-line", "ready$", "ready\n", TRUE},
    {"end-of-a-line-that-goes-on", "ready$", "ready to fail\n", FALSE},
    {"begin-of-a-line", "^ready", "x\nready", TRUE},
    {"not-at-the-begin", "^ready", "not ready\n", FALSE},
    {"across-lines", "a.*b", "a\nb\n", FALSE},
    {"line-feed-in-the-pattern", "a\\nb", "a\nb\n", FALSE},
    {"carriage-return-and-line-feed", "^ready$", "x\r\nready\r\n", TRUE},
    {"overwritten", "^100%$", " 50%\r100%\rdone\n", TRUE},
    {"colours", "^ready to go$", "\033[1;32mready\033[0m to \033[Kgo\n", TRUE},
    {"colours-alone", "m", "\033[1;32m\033[0m\n", FALSE},
    {"character-set", "^ready$", "\033(B\033)0ready\n", TRUE},
    {"title", "^ready$", "\033]0;a title ready\007ready\n", TRUE},
    {"title-with-a-string-terminator", "^ready$", "\033]0;title\033\\ready\n", TRUE},
    {"title-alone", "title", "\033]0;title\007\n", FALSE},
    {"title-without-end", "ready", "\033]0;title\nready\n", TRUE},
    {"sequence-in-a-sequence", "^ready$", "\033[1\033[2mready\n", TRUE},
    {"string-in-a-string", "^ready$", "\033]a\033[1mready\n", TRUE},
    {"bell-and-backspace", "^ready$", "\007re\bad\177y\n", TRUE},
    {"tab", "a\\tb", "a\tb\n", TRUE},
    {"bytes-that-are-no-utf-8", "^\\xff+ready\\xfe", "\xff\xffready\xfe\n", TRUE},
    {"utf-8", "bereit f\303\274r", "bereit f\303\274r\n", TRUE},
    {"any-case", "(?i)READY", "ready\n", TRUE},
    {"alternatives", "^(up|ready)$", "ready\n", TRUE},
    {"empty-lines", "^.$", "\n\n\r\n", FALSE},
    {"too-many-steps", "^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n", FALSE},
    {"after-too-many-steps", "^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\naa\n", TRUE},
    {"recursion", "x(?R)", "x\n", FALSE},
};

static CvdLineWatchResult take_in_pieces(CvdLineWatch *watch, const char *text, gsize size,
                                         gsize piece)
{
    CvdLineWatchResult result = CVD_LINE_WATCH_GOES_ON;

    for (gsize at = 0; at < size && result == CVD_LINE_WATCH_GOES_ON; at += piece)
        result = cvd_line_watch_take(watch, text + at, MIN(piece, size - at));
    return result;
}

/* However it is cut. */
static void test_row(gconstpointer data)
{
    const Row *row = data;
    gsize size = strlen(row->text);

    g_assert_true(cvd_line_pattern_check(row->pattern, NULL));
    for (gsize piece = 1; piece <= size; piece++) {
        g_autoptr(CvdLineWatch) watch = cvd_line_watch_new(row->pattern);
        g_assert_cmpint(take_in_pieces(watch, row->text, size, piece), ==,
                        row->matches ? CVD_LINE_WATCH_MATCHED : CVD_LINE_WATCH_GOES_ON);
    }
}

static void test_nul(void)
{
    static const char text[] = "\0re\0ady\0\n";
    g_autoptr(CvdLineWatch) watch = cvd_line_watch_new("^ready$");

    g_assert_cmpint(cvd_line_watch_take(watch, text, sizeof text - 1), ==, CVD_LINE_WATCH_MATCHED);
}

static void test_once(void)
{
    g_autoptr(CvdLineWatch) watch = cvd_line_watch_new("ready");

    g_assert_cmpint(cvd_line_watch_take(watch, "ready\n", 6), ==, CVD_LINE_WATCH_MATCHED);
    g_assert_cmpint(cvd_line_watch_take(watch, "ready\n", 6), ==, CVD_LINE_WATCH_GOES_ON);
}

/* A line of N bytes, and N + 1, with the word at its end. */
static void test_long_line(void)
{
    for (gsize extra = 0; extra < 2; extra++) {
        g_autoptr(CvdLineWatch) watch = cvd_line_watch_new("ready");
        g_autofree char *filling = g_strnfill(CVD_LINE_WATCH_MAX_LINE - 5 + extra, 'x');
        g_autofree char *line = g_strconcat(filling, "ready\n", NULL);

        g_assert_cmpint(cvd_line_watch_take(watch, line, strlen(line)), ==,
                        extra == 0 ? CVD_LINE_WATCH_MATCHED : CVD_LINE_WATCH_GOES_ON);
        g_assert_cmpint(cvd_line_watch_take(watch, "ready\n", 6), ==,
                        extra == 0 ? CVD_LINE_WATCH_GOES_ON : CVD_LINE_WATCH_MATCHED);
    }
}

/* A guest that prints what the pattern takes longest for does not keep us busy for ever, though
 * each line by itself keeps to the limit. */
static void test_costly(void)
{
    g_autoptr(CvdLineWatch) watch = cvd_line_watch_new("^(a+)+$");
    g_autoptr(GString) text = g_string_new(NULL);
    CvdLineWatchResult result;

    for (guint i = 0; i < 1000; i++)
        g_string_append(text, "aaaaaaaaaaaaaaaaaaaaaaab\n");
    do
        result = cvd_line_watch_take(watch, text->str, text->len);
    while (result == CVD_LINE_WATCH_GOES_ON);
    g_assert_cmpint(result, ==, CVD_LINE_WATCH_GIVEN_UP);
    g_assert_cmpint(cvd_line_watch_take(watch, "aaa\n", 4), ==, CVD_LINE_WATCH_GOES_ON);
}

static char *random_text(gsize *size)
{
    static const char bytes[] = "ab\n\r\033[];m\\\007\0\377 $";

    *size = (gsize)g_test_rand_int_range(1, 60);
    char *text = g_malloc(*size);
    for (gsize i = 0; i < *size; i++)
        text[i] = bytes[g_test_rand_int_range(0, sizeof bytes - 1)];
    return text;
}

/* Whether there is a match does not depend on how it is cut. */
static void test_random(void)
{
    guint n_matches = 0;

    for (guint i = 0; i < N_ROUNDS; i++) {
        gsize size;
        g_autofree char *text = random_text(&size);
        g_autoptr(CvdLineWatch) whole = cvd_line_watch_new("ab|^b$");
        g_autoptr(CvdLineWatch) cut = cvd_line_watch_new("ab|^b$");
        CvdLineWatchResult result = cvd_line_watch_take(whole, text, size);

        n_matches += result == CVD_LINE_WATCH_MATCHED;
        g_assert_cmpint(
            take_in_pieces(cut, text, size, (gsize)g_test_rand_int_range(1, (gint)size + 1)), ==,
            result);
    }
    g_assert_cmpuint(n_matches, >, 0);
    g_assert_cmpuint(n_matches, <, N_ROUNDS);
}

static const struct {
    const char *pattern;
    const char *says;
} bad[] = {
    {"(", "at char 1: missing terminating )"},
    {"ab[c", "at char 4: missing terminating ]"},
    {"a{3,1}", "at char 5: numbers out of order"},
    {"x\\", "at char 2: \\ at end of pattern"},
    {"(?<=a+)b", "at char 0: lookbehind assertion is not fixed length"},
    {"((((a{100}){100}){100}){100})", "is too large"},
    {"(*LIMIT_MATCH=1000000000)(a+)+$", "cannot begin with settings"},
    {"a*", "any line would match it"},
    {"^", "any line would match it"},
    {"(ready)?", "any line would match it"},
};

static void test_bad_patterns(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(cvd_line_pattern_check(bad[i].pattern, &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
        if (strstr(error->message, bad[i].says) == NULL)
            g_error("'%s' does not have '%s'", error->message, bad[i].says);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/line-watch/", rows, test_row);
    g_test_add_func("/line-watch/nul", test_nul);
    g_test_add_func("/line-watch/once", test_once);
    g_test_add_func("/line-watch/1024-bytes-and-one-more", test_long_line);
    g_test_add_func("/line-watch/costly", test_costly);
    g_test_add_func("/line-watch/random", test_random);
    g_test_add_func("/line-watch/bad-patterns", test_bad_patterns);
    return g_test_run();
}
