/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text: where objects end, what they look like, and numbers that json-glib wrote. */
#include "base/json-text.h"

#include <string.h>

/* The object, where it ends, and its members, each as `key=value;`. */
static void test_framer(void)
{
    static const struct {
        const char *text, *rest, *members;
    } rows[] = {
        {"{}", "", ""},
        {"{}{}", "{}", ""},
        {"{\"a\":1}\n", "\n", "\"a\"=1;"},
        {"{ \"a\" : 1 , \"b\" : [2,{\"c\":3}] }x", "x", "\"a\"=1;\"b\"=[2,{\"c\":3}];"},
        {"{\"}\":\"{\\\"}\\\\\",\"a\":\"\\\\\\\"\"}}", "}",
         "\"}\"=\"{\\\"}\\\\\";\"a\"=\"\\\\\\\"\";"},
        {"{\"a\":{\"b\":{}},\"c\":[]}", "", "\"a\"={\"b\":{}};\"c\"=[];"},
        {"{\"a\":18446744073709551615}", "", "\"a\"=18446744073709551615;"},
        {"{\"a\"}", "", ""},
        {"{,}", "", ""},
        {"{:}", "", "=;"},
        {"{\"a\":1,}", "", "\"a\"=1;"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdJsonFramer whole = {0}, bytewise = {0};
        gsize size = strlen(rows[i].text);
        gsize n = cvd_json_framer_feed(&whole, rows[i].text, size);
        g_autoptr(GString) members = g_string_new(NULL);
        for (gsize j = 0; j < n; j++) {
            g_assert_false(bytewise.is_whole);
            g_assert_cmpuint(cvd_json_framer_feed(&bytewise, rows[i].text + j, 1), ==, 1);
        }
        g_assert_cmpmem(&whole, sizeof whole, &bytewise, sizeof bytewise);
        g_assert_true(whole.is_whole);
        g_assert_cmpuint(whole.size, ==, n);
        g_assert_cmpstr(rows[i].text + n, ==, rows[i].rest);
        for (guint j = 0; j < whole.n_members; j++) {
            CvdJsonSpan key = cvd_json_framer_get_key(&whole, rows[i].text, j);
            CvdJsonSpan value = cvd_json_framer_get_value(&whole, rows[i].text, j);
            g_string_append_printf(members, "%.*s=%.*s;", (int)key.size, key.text, (int)value.size,
                                   value.text);
        }
        g_assert_cmpstr(members->str, ==, rows[i].members);
    }
}

static void test_find(void)
{
    static const char text[] = "{\"ab\":1,\"a\":2,\"a\":3,\"c\":{\"d\":4}}";
    CvdJsonFramer framer = {0};

    cvd_json_framer_feed(&framer, text, strlen(text));
    CvdJsonSpan a = cvd_json_framer_find(&framer, text, "a");
    g_assert_cmpmem(a.text, a.size, "2", 1);
    g_assert_null(cvd_json_framer_find(&framer, text, "d").text);
    g_assert_null(cvd_json_framer_find(&framer, text, "b").text);
}

/* Those beyond the bound are not found, and do no harm. */
static void test_many_members(void)
{
    for (guint n = CVD_JSON_MAX_MEMBERS; n <= CVD_JSON_MAX_MEMBERS + 1; n++) {
        g_autoptr(GString) text = g_string_new("{");
        CvdJsonFramer framer = {0};
        for (guint i = 1; i <= n; i++)
            g_string_append_printf(text, "%s\"m%u\":%u", i > 1 ? "," : "", i, i);
        g_string_append_c(text, '}');
        cvd_json_framer_feed(&framer, text->str, text->len);
        g_assert_true(framer.is_whole);
        g_assert_cmpuint(framer.n_members, ==, CVD_JSON_MAX_MEMBERS);
        g_assert_nonnull(cvd_json_framer_find(&framer, text->str, "m16").text);
        g_assert_null(cvd_json_framer_find(&framer, text->str, "m17").text);
    }
}

static void test_format(void)
{
    static const struct {
        const char *text, *compact, *pretty;
    } rows[] = {
        {"", "", ""},
        {"{ }", "{}", "{}"},
        {" [ 1 ,2]\r\n", "[1,2]", "[\n  1,\n  2\n]"},
        {"{\"a\": {\"b\" :[]}, \"c\":18446744073709551615}",
         "{\"a\":{\"b\":[]},\"c\":18446744073709551615}",
         "{\n  \"a\" : {\n    \"b\" : []\n  },\n  \"c\" : 18446744073709551615\n}"},
        {"\"a, \\\" b: {\"", "\"a, \\\" b: {\"", "\"a, \\\" b: {\""},
        {"\"\x1b[2J\xc2\x9b\x7f\xc3\xa4\"", "\"\\u001b[2J\\u009b\\u007f\xc3\xa4\"",
         "\"\\u001b[2J\\u009b\\u007f\xc3\xa4\""},
        {"\"\xff\"", "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\""},
        {"\"a", "\"a", "\"a"},
        {"]}", "]}", "\n]\n}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gsize size = strlen(rows[i].text);
        g_autofree char *compact = cvd_json_text_format(rows[i].text, size, FALSE);
        g_autofree char *pretty = cvd_json_text_format(rows[i].text, size, TRUE);
        g_assert_cmpstr(compact, ==, rows[i].compact);
        g_assert_cmpstr(pretty, ==, rows[i].pretty);
    }
}

/* Deep nesting takes no more stack, and no more white space than is bearable. */
static void test_format_deep(void)
{
    g_autofree char *text = g_strnfill(100000, '[');
    g_autofree char *pretty = cvd_json_text_format(text, strlen(text), TRUE);

    g_assert_cmpuint(strlen(pretty), <, 200 * strlen(text));
}

static void test_numbers(void)
{
    static const struct {
        const char *generated, *fixed;
    } rows[] = {
        {"[1e+20.0,-1.5e-07,0.10000000000000001]", "[1e+20,-1.5e-07,0.1]"},
        {"5.0", "5.0"},
        {"-0.0", "-0.0"},
        {"9.9999999999999995e-08", "1e-07"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"[9223372036854775807,-12,true,null]", "[9223372036854775807,-12,true,null]"},
        {"{\"1e+20.0\":\"\\\"1e+20.0\\\\\"}", "{\"1e+20.0\":\"\\\"1e+20.0\\\\\"}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *fixed = cvd_json_text_fix_numbers(g_strdup(rows[i].generated));
        g_assert_cmpstr(fixed, ==, rows[i].fixed);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-text/framer", test_framer);
    g_test_add_func("/json-text/find", test_find);
    g_test_add_func("/json-text/16-members-and-one-more", test_many_members);
    g_test_add_func("/json-text/format", test_format);
    g_test_add_func("/json-text/format-deep", test_format_deep);
    g_test_add_func("/json-text/numbers", test_numbers);
    return g_test_run();
}
