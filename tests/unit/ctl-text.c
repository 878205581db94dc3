/* SPDX-License-Identifier: Apache-2.0 */
/* What cvd-ctl shows of text that others have written. */
#include "ctl/ctl.h"

#include <glib/gstdio.h>
#include <unistd.h>

/* What an instance, or whoever wrote its record, might say to the terminal of root's. */
static void test_printable(void)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"running", "running"},
        {"größer als 1", "größer als 1"},
        {"\033[31mred\033]0;title\a", "\\u001b[31mred\\u001b]0;title\\u0007"},
        {"line\nline\r\ttab", "line\\u000aline\\u000d\\u0009tab"},
        {"\302\233"
         "31m",
         "\\u009b31m"},                    /* C1: CSI */
        {"\342\200\256rtl", "\\u202ertl"}, /* runs from right to left */
        {"\233x", "\357\277\275x"},        /* not UTF-8 */
        {"", ""},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = cvd_ctl_printable(cases[i].text);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

/* Returns: (transfer full): what the function at @print wrote to stdout */
static char *capture(gboolean (*print)(void))
{
    g_autofree char *path = NULL;
    char *text = NULL;
    int fd = g_file_open_tmp("unit-XXXXXX", &path, NULL);
    int saved = dup(STDOUT_FILENO);

    g_assert_no_errno(dup2(fd, STDOUT_FILENO));
    gboolean is_printed = print();
    g_assert_no_errno(dup2(saved, STDOUT_FILENO));
    g_assert_true(is_printed && g_file_get_contents(path, &text, NULL, NULL));
    g_unlink(path);
    close(fd);
    close(saved);
    return text;
}

static gboolean print_row(void)
{
    return cvd_ctl_print(NULL, "[%-6s|%6s|%s|%u|%4u]\n", "a\nb", "\033", "x%sy", 7U, 42U) &&
           cvd_ctl_print(NULL, "plain\n");
}

static void test_print(void)
{
    g_autofree char *text = capture(print_row);

    g_assert_cmpstr(text, ==, "[a\\u000ab|\\u001b|x%sy|7|  42]\nplain\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-text/printable", test_printable);
    g_test_add_func("/ctl-text/print", test_print);
    return g_test_run();
}
