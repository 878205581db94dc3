/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: texts that must fail, where, and with which words. */
#include "launcher/config/json-file.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static JsonNode *parse(const char *text, GError **error)
{
    return cvd_json_parse(text, strlen(text), NULL, error);
}

static void assert_invalid(GError *error, const char *part)
{
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    if (!strstr(error->message, part))
        g_error("\"%s\" does not contain \"%s\"", error->message, part);
}

static const struct {
    const char *text;
    const char *message;
} bad_texts[] = {
    {"", "empty"},
    {" \n\t", "empty"},
    {"{", "line 1, column 2: expected a member's name"},
    {"[1,\n 2", "line 2, column 3: expected ',' or ']', found the end"},
    {"{\"a\": 1,}", "line 1, column 8: a comma before '}'"},
    {"[1, \n]", "line 1, column 3: a comma before ']'"},
    {"[1,,2]", "line 1, column 4: expected a value, found ','"},
    {"[\u00a01]", "line 1, column 2: expected a value, found the character U+00A0"},
    {"\xff\xfe{", "line 1, column 1: UTF-16"},
    {"\xfe\xff", "line 1, column 1: UTF-16"},
    {"{\"a\" 1}", "expected ':'"},
    {"{\n'a': 1}", "line 2, column 1: single quotes; JSON's strings stand in double quotes"},
    {"{\"b\": 1,\r\n a_1: 1}", "line 2, column 2: a_1 stands without quotes; write \"a_1\""},
    {"{ä: 1}", "expected a member's name in double quotes, found 'ä'"},
    {"{: 1}", "expected a member's name in double quotes, found ':'"},
    {"[1 2]", "column 4: expected ',' or ']', found '2'"},
    {"{} {}", "column 4: expected the end of the text"},
    {"[}", "expected a value, found '}'"},
    {"['a']", "line 1, column 2: single quotes; "},
    {"\"\\'\"", "after \\, found '''"},
    {"// c\n{}", "line 1, column 1: a comment, which JSON does not have; remove it"},
    {"{\"a\": 1 /* c */}", "line 1, column 9: a comment"},
    {"{\"a\": 1,\n# c\n}", "line 2, column 1: a comment"},
    {"{\n// c\n\"a\": 1}", "line 2, column 1: a comment"},
    {"{} # c", "column 4: a comment"},
    {"[phone]", "column 2: expected a value (strings stand in double quotes), found 'p'"},
    {"\ufeff{}", "column 1: expected a value, found the character U+FEFF"},
    {"[1 / 2]", "found '/'"},
    {"var a = 1", "found 'v'"},
    {"{\"a\": True}", "found 'T'"},
    {"nul", "expected a value"},
    {"nullx", "column 5: expected the end"},
    {"NaN", "expected a value"},
    {"\"abc", "column 1: the string that starts here has no end"},
    {"\"a\nb\"", "control character U+000A"},
    {"\"\\x\"", "after \\"},
    {"\"\\u12g4\"", "four hexadecimal digits"},
    {"\"\\u12", "four hexadecimal digits"},
    {"\"\\ud800\"", "surrogate"},
    {"\"\\udc00\"", "surrogate"},
    {"\"\\ud800\\u0041\"", "surrogate"},
    {"\"\\u0000\"", "U+0000"},
    {"01", "cannot start with 0"},
    {"-", "a digit"},
    {"+1", "expected a value"},
    {"1.", "after the decimal point"},
    {".5", "expected a value"},
    {"1e", "exponent"},
    {"{\"a\": 0x10}", "line 1, column 7: a hexadecimal number; JSON's are decimal"},
    {"-0X10", "line 1, column 1: a hexadecimal number"},
    {"[18446744073709551616]", "column 2: the number 18446744073709551616 is out of range"},
    {"28446744073709551615", "out of range"},
    {"-9223372036854775809", "out of range"},
    {"1e999", "out of range"},
    {"\"\xff\"", "column 2: byte 0xff is not UTF-8"},
    {"{\"ä\": ?}", "column 7: expected a value, found '?'"},
};

static void test_bad_texts(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(parse(bad_texts[i].text, &error));
        assert_invalid(error, bad_texts[i].message);
    }
}

static void test_good_texts(void)
{
    static const char *const rows[] = {
        "{}",  "[]",     "[[],{}]",       "null",
        "-0",  "0.5e-3", "1E+2",          "\"\\ud83d\\ude00\"",
        " 1 ", "true",   "\"\\/\\b\"",    "\"ä\"",
        "[ ]", "{ }",    "{ \"a\" : 1 }", "{\r\n\"a\": 1\r\n}\r\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) root = parse(rows[i], &error);
        g_assert_no_error(error);
        g_assert_nonnull(root);
    }
}

static void test_values_arrive(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = parse(
        "{\"max\": 9223372036854775807, \"min\": -9223372036854775808, \"s\": \"\\u00e4\\n\"}",
        &error);
    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    g_assert_cmpint(json_object_get_int_member(object, "max"), ==, G_MAXINT64);
    g_assert_cmpint(json_object_get_int_member(object, "min"), ==, G_MININT64);
    g_assert_cmpstr(json_object_get_string_member(object, "s"), ==, "ä\n");
}

/* What is written can be read again, and has the value that was read. */
static void test_written_numbers(void)
{
    static const char *const rows[] = {"1e+20",
                                       "0.1",
                                       "-1.5e-300",
                                       "5.0",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "\"\xef\xb7\x90\xef\xbf\xbe\x31\"", /* and a digit */
                                       "[9223372036854775808]",
                                       "{\"a\":18446744073709551615}",
                                       "[\"18446744073709551615\",\"\\\"9223372036854775808\"]"};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) root = parse(rows[i], &error);
        g_assert_no_error(error);
        g_autofree char *text = cvd_json_to_string(root, FALSE);
        g_assert_cmpstr(text, ==, rows[i]);
    }
}

/* What cannot be parsed is left out, or null, and takes nothing else with it. */
static void test_lenient(void)
{
    static const struct {
        const char *text, *parsed;
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1}"},
        {"{\"a\":18446744073709551616,\"b\":{\"c\":1.5e400},\"d\":\"e\"}", "{\"d\":\"e\"}"},
        {"{\"\\ud800\":1,\"a\":tru,\"b\":true}", "{\"b\":true}"},
        {"18446744073709551616", "null"},
        {"[1,\"\\u0000\"]", "null"},
        {"", "null"},
        {"{\"a\":", "{}"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdJsonSpan span = {rows[i].text, strlen(rows[i].text)};
        g_autoptr(JsonNode) node = cvd_json_parse_leniently(span);
        g_autofree char *text = cvd_json_to_string(node, FALSE);
        g_assert_cmpstr(text, ==, rows[i].parsed);
    }
}

/* What no node can hold does not matter in what is only handed on. */
static void test_lax(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node =
        cvd_json_from_string("[18446744073709551616,-1e999,\"a\\u0000\\udc00\\ud800b\"]", &error);
    g_assert_no_error(error);
    g_autofree char *text = cvd_json_to_string(node, FALSE);
    g_assert_cmpstr(text, ==, "[null,null,\"ab\"]");
    g_assert_null(cvd_json_from_string("[1] 2", &error));
    assert_invalid(error, "column 5: expected the end");
}

/* Brackets of both kinds count. */
static char *nested(guint depth)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < depth; i++)
        g_string_append(text, i % 2 ? "{\"k\":" : "[");
    g_string_append(text, "1");
    for (guint i = depth; i > 0; i--)
        g_string_append_c(text, (i - 1) % 2 ? '}' : ']');
    return g_string_free(text, FALSE);
}

static void test_depth_limit(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *deepest = nested(CVD_JSON_MAX_DEPTH);
    g_autoptr(JsonNode) root = parse(deepest, &error);
    g_assert_no_error(error);
    g_assert_nonnull(root);

    g_autofree char *deeper = nested(CVD_JSON_MAX_DEPTH + 1);
    g_assert_null(parse(deeper, &error));
    assert_invalid(error, "nested deeper than 64");

    g_clear_error(&error);
    g_autofree char *brackets = g_strnfill(500000, '[');
    g_assert_null(parse(brackets, &error));
    assert_invalid(error, "line 1, column 65: brackets nested deeper");
}

static void test_size_limit(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strnfill(CVD_JSON_MAX_SIZE + 1, ' ');
    text[0] = '1';
    g_autoptr(JsonNode) root = cvd_json_parse(text, CVD_JSON_MAX_SIZE, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(root);
    g_assert_null(cvd_json_parse(text, CVD_JSON_MAX_SIZE + 1, NULL, &error));
    assert_invalid(error, "longer than 1048576 bytes");
}

static void test_nul_bytes(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_json_parse("[1]\0", 4, NULL, &error));
    assert_invalid(error, "column 4: byte 0x00");
}

static void test_duplicates(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    static const char text[] =
        "{\"a\": [{\"b\": 1}, {\"b\": 1, \"c\": {\"b\": 1}, \"\\u0062\": 2}],"
        " \"d\": 1, \"a\": 2}";
    g_autoptr(JsonNode) root = cvd_json_parse(text, sizeof text - 1, duplicates, &error);
    g_assert_no_error(error);
    g_assert_nonnull(root);
    g_assert_cmpuint(duplicates->len, ==, 2);
    g_assert_cmpstr(duplicates->pdata[0], ==, "a[1].b");
    g_assert_cmpstr(duplicates->pdata[1], ==, "a");
}

/* Of each value; one may begin on another line than its name. */
static void test_lines(void)
{
    static const char text[] = "\n{\"a\": 1,\r\n \"b\": [true,\n\n{\"c\":\n\"x\"}], \"b\": 2}";
    static const guint expected[] = {2, 2, 6};
    g_autoptr(GHashTable) lines = cvd_json_lines_new();
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root =
        cvd_json_parse_lines(text, sizeof text - 1, duplicates, lines, &error);

    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    JsonNode *const nodes[] = {root, json_object_get_member(object, "a"),
                               json_object_get_member(object, "b")};
    for (guint i = 0; i < G_N_ELEMENTS(nodes); i++)
        g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(lines, nodes[i])), ==, expected[i]);
    g_assert_cmpuint(g_hash_table_size(lines), ==, 7); /* the list that 2 replaces, too */
    g_assert_cmpuint(duplicates->len, ==, 1);
    g_assert_cmpstr(duplicates->pdata[0], ==, "line 6: b");
}

static void test_comments_repeat(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    static const char text[] = "{\"comment\": 1, \"a\": {\"__comment\": [1], \"__comment\": {},"
                               " \"b\": 1}, \"comment\": \"x\", \"comments\": 1, \"comments\": 2}";
    g_autoptr(JsonNode) root = cvd_json_parse(text, sizeof text - 1, duplicates, &error);
    g_assert_no_error(error);
    g_assert_nonnull(root);
    g_assert_cmpuint(duplicates->len, ==, 1);
    g_assert_cmpstr(duplicates->pdata[0], ==, "comments");
}

static void test_duplicates_limit(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    GString *text = g_string_new("{\"a\": 0");
    for (guint i = 0; i < 20 + 1; i++)
        g_string_append(text, ", \"a\": 0");
    g_string_append(text, "}");
    g_autofree char *json = g_string_free(text, FALSE);
    g_autoptr(JsonNode) root = cvd_json_parse(json, strlen(json), duplicates, &error);
    g_assert_nonnull(root);
    g_assert_cmpuint(duplicates->len, ==, 20);
}

/* Truncated anywhere, a text is an error, and never a crash. */
static void test_every_prefix(void)
{
    static const char text[] =
        "{\"a\": [1, -2.5e1, true, null, \"\\u00e4\\n\"], \"b\": {\"c\": {}}}";
    for (gsize size = 0; size < sizeof text - 1; size++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
        g_assert_null(cvd_json_parse(text, size, duplicates, &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    }
}

typedef struct {
    char *directory;
    char *path;
} Files;

static void set_up(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    files->directory = g_dir_make_tmp("cvd-json-XXXXXX", &error);
    g_assert_no_error(error);
    files->path = g_build_filename(files->directory, "file.json", NULL);
}

static void tear_down(Files *files, gconstpointer data)
{
    g_unlink(files->path);
    g_assert_cmpint(g_rmdir(files->directory), ==, 0);
    g_free(files->path);
    g_free(files->directory);
}

static void assert_load_fails(Files *files, CvdError code, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_json_load(files->path, NULL, NULL, NULL, &error));
    g_assert_error(error, CVD_ERROR, (int)code);
    g_assert_true(g_str_has_prefix(error->message, files->path));
    if (!strstr(error->message, part))
        g_error("\"%s\" does not contain \"%s\"", error->message, part);
}

static void write_file(Files *files, const char *text, gssize size)
{
    g_autoptr(GError) error = NULL;
    g_file_set_contents(files->path, text, size, &error);
    g_assert_no_error(error);
}

static void test_load_file(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    write_file(files, data, -1);
    g_autoptr(JsonNode) root = cvd_json_load(files->path, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(JSON_NODE_HOLDS_OBJECT(root));
}

static void test_load_bad(Files *files, gconstpointer data)
{
    assert_load_fails(files, CVD_ERROR_FAILED, "No such file");
    write_file(files, "", 0);
    assert_load_fails(files, CVD_ERROR_INVALID, ": empty");
    write_file(files, "{\0}\0", 4);
    assert_load_fails(files, CVD_ERROR_INVALID, ": line 1, column 1: UTF-16");
    write_file(files, "\0{\0}", 4);
    assert_load_fails(files, CVD_ERROR_INVALID, ": line 1, column 1: UTF-16");
    write_file(files, "{\"a\": ", -1);
    assert_load_fails(files, CVD_ERROR_INVALID, ": line 1, column 7");
    write_file(files,
               "\x7f"
               "ELF\x02\x01\x01\x00\x00",
               9);
    assert_load_fails(files, CVD_ERROR_INVALID, ": line 1, column 8: byte 0x00");
}

static void test_load_huge(Files *files, gconstpointer data)
{
    write_file(files, "{", -1);
    g_assert_cmpint(truncate(files->path, 100 * 1000 * 1000), ==, 0);
    assert_load_fails(files, CVD_ERROR_INVALID, "has 100000000 bytes; the limit is 1048576");
}

static void test_load_directory(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_json_load(files->directory, NULL, NULL, NULL, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "is a directory"));
}

static void test_load_device(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_json_load("/dev/zero", NULL, NULL, NULL, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "not a regular file"));
}

/* No writer will ever come: that must not be waited for without an end. */
static void test_load_fifo(Files *files, gconstpointer data)
{
    g_assert_cmpint(mkfifo(files->path, 0600), ==, 0);
    assert_load_fails(files, CVD_ERROR_FAILED, "a FIFO that nobody has written to");
}

/* Opening to write waits for the reader, so that this writer always comes after it. */
static gpointer write_late(gpointer path)
{
    FILE *fifo = g_fopen(path, "we");

    g_assert_nonnull(fifo);
    fputs("{\"a\": 1}", fifo);
    fclose(fifo);
    return NULL;
}

static void test_load_fifo_late(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(mkfifo(files->path, 0600), ==, 0);
    GThread *writer = g_thread_new("writer", write_late, files->path);
    g_autoptr(JsonNode) root = cvd_json_load(files->path, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(JSON_NODE_HOLDS_OBJECT(root));
    g_thread_join(writer);
}

static void add_file_test(const char *path, void (*test)(Files *, gconstpointer))
{
    g_test_add(path, Files, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/bad-texts", test_bad_texts);
    g_test_add_func("/json/good-texts", test_good_texts);
    g_test_add_func("/json/values-arrive", test_values_arrive);
    g_test_add_func("/json/written-numbers", test_written_numbers);
    g_test_add_func("/json/lenient", test_lenient);
    g_test_add_func("/json/lax", test_lax);
    g_test_add_func("/json/depth-limit", test_depth_limit);
    g_test_add_func("/json/size-limit", test_size_limit);
    g_test_add_func("/json/nul-bytes", test_nul_bytes);
    g_test_add_func("/json/duplicates", test_duplicates);
    g_test_add_func("/json/lines", test_lines);
    g_test_add_func("/json/comments-repeat", test_comments_repeat);
    g_test_add_func("/json/duplicates-limit", test_duplicates_limit);
    g_test_add_func("/json/every-prefix", test_every_prefix);
    g_test_add("/json/load/file", Files, "{\"a\": 1}", set_up, test_load_file, tear_down);
    g_test_add("/json/load/byte-order-mark", Files, "\ufeff{\"a\": 1}", set_up, test_load_file,
               tear_down);
    add_file_test("/json/load/bad", test_load_bad);
    add_file_test("/json/load/huge-file", test_load_huge);
    add_file_test("/json/load/directory", test_load_directory);
    add_file_test("/json/load/device", test_load_device);
    add_file_test("/json/load/fifo-without-writer", test_load_fifo);
    add_file_test("/json/load/fifo-with-late-writer", test_load_fifo_late);
    return g_test_run();
}
