/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text: where objects end, what they look like, and numbers that json-glib wrote. */
#include "base/json-text.h"

#include "base/json-stream.h"

#include <string.h>

/* The object, where it ends, and its members, each as `key=value;`. */
static const struct {
    const char *text, *rest, *members;
} objects[] = {
    {"{}", "", ""},
    {"{}{}", "{}", ""},
    {"{\"a\":1}\n", "\n", "\"a\"=1;"},
    {"{ \"a\" : 1 , \"b\" : [2,{\"c\":3}] }x", "x", "\"a\"=1;\"b\"=[2,{\"c\":3}];"},
    {"{\"}\":\"{\\\"}\\\\\",\"a\":\"\\\\\\\"\"}}", "}", "\"}\"=\"{\\\"}\\\\\";\"a\"=\"\\\\\\\"\";"},
    {"{\"a\":{\"b\":{}},\"c\":[]}", "", "\"a\"={\"b\":{}};\"c\"=[];"},
    {"{\"a\":18446744073709551615}", "", "\"a\"=18446744073709551615;"},
    {"{\"a\"}", "", ""},
    {"{,}", "", ""},
    {"{:}", "", "=;"},
    {"{\"a\":1,}", "", "\"a\"=1;"},
    {"{\"a\":1 2}", "", "\"a\"=1 2;"},
};

static char *list_members(CvdJsonSpan object)
{
    GString *members = g_string_new(NULL);
    CvdJsonLexer lexer = cvd_json_lex(object);
    CvdJsonSpan key, value;

    while (cvd_json_next_member(&lexer, &key, &value)) {
        g_string_append_len(members, key.size > 0 ? key.text : "", (gssize)key.size);
        g_string_append_c(members, '=');
        g_string_append_len(members, value.size > 0 ? value.text : "", (gssize)value.size);
        g_string_append_c(members, ';');
    }
    return g_string_free(members, FALSE);
}

/* As it comes in one piece, and byte by byte. */
static void test_stream(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(objects); i++) {
        const guint8 *text = (const guint8 *)objects[i].text;
        gsize n = strlen(objects[i].text), n_rest = strlen(objects[i].rest);
        CvdJsonStream whole, bytewise;

        cvd_json_stream_init(&whole, n);
        g_byte_array_append(whole.bytes, text, (guint)n);
        g_assert_cmpint(cvd_json_stream_next(&whole), ==, CVD_JSON_STREAM_OBJECT);
        g_assert_cmpuint(cvd_json_stream_get(&whole).size, ==, n - n_rest);
        g_autofree char *members = list_members(cvd_json_stream_get(&whole));
        g_assert_cmpstr(members, ==, objects[i].members);
        cvd_json_stream_clear(&whole);

        cvd_json_stream_init(&bytewise, n);
        for (gsize j = 0; j < n - n_rest; j++) {
            g_assert_cmpint(cvd_json_stream_next(&bytewise), ==, CVD_JSON_STREAM_WANTS_MORE);
            g_byte_array_append(bytewise.bytes, text + j, 1);
        }
        g_assert_cmpint(cvd_json_stream_next(&bytewise), ==, CVD_JSON_STREAM_OBJECT);
        cvd_json_stream_clear(&bytewise);
    }
}

/* What is too long is said once, and skipped; what follows is not. */
static void test_stream_too_long(void)
{
    CvdJsonStream stream;

    cvd_json_stream_init(&stream, 9);
    for (guint i = 0; i < 2; i++) {
        g_byte_array_append(stream.bytes, (const guint8 *)"{\"a\": \"", 7);
        g_byte_array_append(stream.bytes, (const guint8 *)"{{\"", i);
        g_assert_cmpint(cvd_json_stream_next(&stream), ==, CVD_JSON_STREAM_WANTS_MORE);
        g_byte_array_append(stream.bytes, (const guint8 *)"\"}", 2);
        g_assert_cmpint(cvd_json_stream_next(&stream), ==,
                        i == 0 ? CVD_JSON_STREAM_OBJECT : CVD_JSON_STREAM_TOO_LONG);
    }
    g_byte_array_append(stream.bytes, (const guint8 *)"{}", 2);
    g_assert_cmpint(cvd_json_stream_next(&stream), ==, CVD_JSON_STREAM_OBJECT);
    cvd_json_stream_clear(&stream);
}

static void test_find(void)
{
    static const char text[] = "{\"ab\":1,\"a\":2,\"a\":3,\"c\":{\"d\":4},\"e\":[1";
    static const char *const keys[] = {"a", "d", "b", "c", "e", NULL};
    CvdJsonSpan found[5];

    cvd_json_find((CvdJsonSpan){text, strlen(text)}, keys, found);
    g_assert_cmpmem(found[0].text, found[0].size, "2", 1);
    g_assert_null(found[1].text);
    g_assert_null(found[2].text);
    g_assert_cmpmem(found[3].text, found[3].size, "{\"d\":4}", 7);
    g_assert_null(found[4].text); /* not all of it is there */
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
    g_test_add_func("/json-text/stream", test_stream);
    g_test_add_func("/json-text/stream-too-long", test_stream_too_long);
    g_test_add_func("/json-text/find", test_find);
    g_test_add_func("/json-text/format", test_format);
    g_test_add_func("/json-text/format-deep", test_format_deep);
    g_test_add_func("/json-text/numbers", test_numbers);
    return g_test_run();
}
