/* SPDX-License-Identifier: Apache-2.0 */
/* What users type becomes a command of QMP, or an error of usage. */
#include "ctl/qmp.h"

#include "tests/support/rows.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *line;
    const char *result; /* a command, or a part of the error's message */
} Row;

static const Row right[] = {
    {"name", "query-status", "{\"execute\":\"query-status\"}"},
    {"space", " \tquery-status \n", "{\"execute\":\"query-status\"}"},
    {"string", "a b=c", "{\"execute\":\"a\",\"arguments\":{\"b\":\"c\"}}"},
    {"several", "a  b=c\td=e", "{\"execute\":\"a\",\"arguments\":{\"b\":\"c\",\"d\":\"e\"}}"},
    {"number", "a b=12 c=-0.5", "{\"execute\":\"a\",\"arguments\":{\"b\":12,\"c\":-0.5}}"},
    {"large-number", "a b=18446744073709551615",
     "{\"execute\":\"a\",\"arguments\":{\"b\":18446744073709551615}}"},
    {"words-of-json", "a b=true c=null",
     "{\"execute\":\"a\",\"arguments\":{\"b\":true,\"c\":null}}"},
    {"no-number", "a addr=1e.0 b=007 c=0x10",
     "{\"execute\":\"a\",\"arguments\":{\"addr\":\"1e.0\",\"b\":\"007\",\"c\":\"0x10\"}}"},
    {"empty-value", "a b=", "{\"execute\":\"a\",\"arguments\":{\"b\":\"\"}}"},
    {"equals-sign-in-value", "a b=c=d", "{\"execute\":\"a\",\"arguments\":{\"b\":\"c=d\"}}"},
    {"string-of-digits", "a b=\"12\"", "{\"execute\":\"a\",\"arguments\":{\"b\":\"12\"}}"},
    {"string-with-spaces", "a b=\"c \\\" d\"",
     "{\"execute\":\"a\",\"arguments\":{\"b\":\"c \\\" d\"}}"},
    {"single-quotes", "a 'b=c d'", "{\"execute\":\"a\",\"arguments\":{\"b\":\"c d\"}}"},
    {"single-quotes-inside", "a b='c d'e", "{\"execute\":\"a\",\"arguments\":{\"b\":\"c de\"}}"},
    {"empty-in-quotes", "a b=''", "{\"execute\":\"a\",\"arguments\":{\"b\":\"\"}}"},
    {"brackets", "a b={\"c\": [1, \"} d\"]}",
     "{\"execute\":\"a\",\"arguments\":{\"b\":{\"c\":[1,\"} d\"]}}}"},
    {"nested", "a b.c=1 b.d.e=x f=2",
     "{\"execute\":\"a\",\"arguments\":{\"b\":{\"c\":1,\"d\":{\"e\":\"x\"}},\"f\":2}}"},
    {"member-of-json", "a b={\"c\":1} b.d=2",
     "{\"execute\":\"a\",\"arguments\":{\"b\":{\"c\":1,\"d\":2}}}"},
    {"object", "a {\"b\": 1e400}", "{\"execute\":\"a\",\"arguments\":{\"b\": 1e400}}"},
    {"object-in-quotes", "qom-get '{\"path\": \"/\"}'",
     "{\"execute\":\"qom-get\",\"arguments\":{\"path\": \"/\"}}"},
    {"json", " {\"execute\" : 1, \"x\": ' '} ", "{\"execute\" : 1, \"x\": ' '}"},
    {"not-utf-8", "\xff b=\xff",
     "{\"execute\":\"\xef\xbf\xbd\",\"arguments\":{\"b\":\"\xef\xbf\xbd\"}}"},
};

static const Row wrong[] = {
    {"no-key", "a b", "'b': expected KEY=VALUE, or all arguments as a JSON object"},
    {"empty-key", "a =b", "'=b': a key is empty"},
    {"empty-key-inside", "a b..c=d", "'b..c=d': a key is empty"},
    {"empty-key-at-the-end", "a b.=d", "'b.=d': a key is empty"},
    {"twice", "a b=1 b=2", "'b=2': this argument is there already"},
    {"member-of-a-number", "a b=1 b.c=2", "'b.c=2': this argument is there already"},
    {"object-later", "a b.c=1 b=2", "'b=2': this argument is there already"},
    {"array", "a [1]", "'[1]': expected the arguments as a JSON object"},
    {"object-and-more", "a {\"b\":1} c=2", "expected KEY=VALUE"},
    {"no-object", "a {\"b\"}", "the arguments: line 1, column 5"},
    {"value-is-no-json", "a b=[1,]", "'b=[1,]': the value: line 1, column 3"},
    {"open-bracket", "a b=[1", "a bracket is not closed"},
    {"open-string", "a b=\"c", "a quote is not closed"},
    {"escaped-to-the-end", "a b=\"c\\", "a quote is not closed"},
    {"open-single-quote", "a 'b=c", "a quote is not closed"},
};

static char *compose(const char *line, GError **error)
{
    g_auto(GStrv) words = cvd_ctl_qmp_split(line, error);

    return words != NULL ? cvd_ctl_qmp_compose(words, error) : NULL;
}

static void test_right(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *command = compose(row->line, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(command, ==, row->result);
}

static void test_wrong(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *command = compose(row->line, &error);

    g_assert_null(command);
    g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
    if (strstr(error->message, row->result) == NULL)
        g_error("%s: %s", row->line, error->message);
}

/* A shell has split these, and taken its quotes off. */
static void test_words(void)
{
    static const struct {
        const char *words[4];
        const char *result; /* NULL: an error */
    } cases[] = {
        {{"a", "b=c d"}, "{\"execute\":\"a\",\"arguments\":{\"b\":\"c d\"}}"},
        {{"a", "{\"b\": 1}"}, "{\"execute\":\"a\",\"arguments\":{\"b\": 1}}"},
        {{"{\"execute\":\"a\"}"}, "{\"execute\":\"a\"}"},
        {{"{\"execute\":\"a\"}", "b=c"}, NULL},
        {{"", ""}, NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *command = cvd_ctl_qmp_compose((char *const *)cases[i].words, &error);
        g_assert_cmpstr(command, ==, cases[i].result);
        g_assert_true((command == NULL) == (error != NULL));
    }
}

static void test_empty(void)
{
    g_assert_true(cvd_ctl_qmp_is_empty(""));
    g_assert_true(cvd_ctl_qmp_is_empty(" \t\r\n"));
    g_assert_true(cvd_ctl_qmp_is_empty("  # stop"));
    g_assert_false(cvd_ctl_qmp_is_empty(" stop"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/ctl-qmp-command/right/", right, test_right);
    test_add_rows(g_test_add_data_func, "/ctl-qmp-command/wrong/", wrong, test_wrong);
    g_test_add_func("/ctl-qmp-command/words", test_words);
    g_test_add_func("/ctl-qmp-command/empty", test_empty);
    return g_test_run();
}
