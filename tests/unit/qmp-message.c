/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of a stream writes, and what it is answered without QEMU. */
#include "launcher/qemu/qmp-message.h"

#include "base/json.h"
#include "tests/support/rows.h"

#include <string.h>

typedef struct {
    const char *name;
    gboolean is_negotiated;
    const char *command;
    const char *reply; /* its beginning; NULL: it goes to QEMU */
    const char *end;   /* of the reply */
    gboolean is_negotiated_then;
} Row;

#define REFUSAL(class) "{\"error\": {\"class\": \"" class "\", \"desc\": \""

static const Row rows[] = {
    {"negotiate", FALSE, "{\"execute\":\"qmp_capabilities\"}", "{\"return\": {}}", "}", TRUE},
    {"negotiate-with-id", FALSE, "{\"id\":[1, \"a\"],\"execute\":\"qmp_capabilities\"}",
     "{\"return\": {}, \"id\": [1,\"a\"]}", "}", TRUE},
    {"no-capabilities", FALSE, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\": [ ]}}",
     "{\"return\": {}}", "}", TRUE},
    {"out-of-band", FALSE,
     "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":1}",
     REFUSAL("GenericError") "cvd-launch offers none", "}, \"id\": 1}", FALSE},
    {"capabilities-of-another-type", FALSE,
     "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":1}}",
     REFUSAL("GenericError") "cvd-launch offers none", "}", FALSE},
    {"negotiate-twice", TRUE, "{\"execute\":\"qmp_capabilities\",\"id\":2}",
     REFUSAL("CommandNotFound") "the capabilities", ", \"id\": 2}", TRUE},
    {"too-early", FALSE, "{\"execute\":\"query-status\",\"id\":\"x\"}",
     REFUSAL("CommandNotFound") "expected qmp_capabilities", ", \"id\": \"x\"}", FALSE},
    {"command", TRUE, "{\"execute\":\"query-status\",\"id\":1}", NULL, NULL, TRUE},
    {"capabilities-as-an-argument", TRUE,
     "{\"execute\":\"a\",\"arguments\":{\"execute\":\"qmp_capabilities\",\"exec-oob\":1}}", NULL,
     NULL, TRUE},
    {"exec-oob", TRUE, "{\"exec-oob\":\"migrate-pause\",\"id\":3}",
     REFUSAL("GenericError") "cvd-launch takes no commands out of band", ", \"id\": 3}", TRUE},
    {"getfd", TRUE, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"},\"id\":4}",
     REFUSAL("GenericError") "cvd-launch passes no descriptors", ", \"id\": 4}", TRUE},
    {"add-fd", TRUE, "{\"execute\":\"add-fd\"}",
     REFUSAL("GenericError") "cvd-launch passes no descriptors", "\"}}", TRUE},
    {"no-command", TRUE, "{\"id\":18446744073709551615}", REFUSAL("GenericError") "expected {",
     ", \"id\": 18446744073709551615}", TRUE},
    {"name-is-a-number", TRUE, "{\"execute\":1}", REFUSAL("GenericError") "expected {", "}", TRUE},
    {"no-json", TRUE, "{\"execute\":tru,\"id\":1}", REFUSAL("GenericError") "line 1, column 12",
     "\"}}", TRUE},
    {"two-objects", TRUE, "{}{}", REFUSAL("GenericError") "line 1, column 3", "\"}}", TRUE},
    {"not-utf-8", TRUE, "{\"execute\":\"\xff\"}", REFUSAL("GenericError") "", "\"}}", TRUE},
    {"empty", TRUE, "", REFUSAL("GenericError") "", "\"}}", TRUE},
};

static void test_answer(gconstpointer data)
{
    const Row *row = data;
    gboolean is_negotiated = row->is_negotiated;
    g_autofree char *reply = cvd_qmp_answer_for_qemu(&is_negotiated, row->command);

    g_assert_cmpint(is_negotiated, ==, row->is_negotiated_then);
    if (row->reply == NULL) {
        g_assert_null(reply);
        return;
    }
    g_assert_nonnull(reply);
    if (!g_str_has_prefix(reply, row->reply) || !g_str_has_suffix(reply, row->end))
        g_error("%s: %s", row->command, reply);
    g_autoptr(JsonNode) node = cvd_json_from_string(reply, NULL);
    g_assert_true(JSON_NODE_HOLDS_OBJECT(node));
}

static void test_refusal(void)
{
    g_autofree char *reply = cvd_qmp_refusal("GenericError", "\"no\"\n\xff", "7");

    g_assert_cmpstr(
        reply, ==,
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"\\\"no\\\"\\n\xef\xbf\xbd\"}"
        ", \"id\": 7}");
}

/* A QEMU that was taken over greets with anything. */
static void test_greeting(void)
{
    g_autofree char *filler = g_strnfill(CVD_QMP_MAX_VERSION - strlen("{\"a\":\"\"}"), 'x');
    g_autofree char *longest = g_strdup_printf("{\"a\":\"%s\"}", filler);
    g_autofree char *longer = g_strdup_printf("{\"a\":\"%sx\"}", filler);
    const struct {
        const char *version, *expected;
    } cases[] = {
        {"{\"qemu\": {\"major\": 7}, \"package\": \"\"}",
         "{\"qemu\":{\"major\":7},\"package\":\"\"}"},
        {"1", "{}"},
        {"[]", "{}"},
        {"{\"a\": tru}", "{}"},
        {"{\"a\": \"\n\"}", "{\"a\":\"\\u000a\"}"},
        {longest, longest},
        {longer, "{}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *value =
            g_strdup_printf("{\"version\": %s, \"capabilities\": [\"oob\"]}", cases[i].version);
        g_autofree char *expected = g_strdup_printf(
            "{\"QMP\": {\"version\": %s, \"capabilities\": []}}", cases[i].expected);
        g_autofree char *greeting = cvd_qmp_greeting((CvdJsonSpan){value, strlen(value)});
        g_assert_cmpstr(greeting, ==, expected);
    }
    g_autofree char *without = cvd_qmp_greeting((CvdJsonSpan){"[]", 2});
    g_assert_cmpstr(without, ==, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}");
}

static void test_version(void)
{
    static const struct {
        const char *greeting, *version;
    } cases[] = {
        {"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}}}",
         "7.2.22"},
        {"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": -1, \"minor\": 2, \"major\": 7}}}}", NULL},
        {"{\"QMP\": {\"version\": {\"qemu\": {\"minor\": 2, \"major\": 7}}}}", NULL},
        {"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": \"2\", \"minor\": 2, \"major\": 7}}}}",
         NULL},
        {"{\"QMP\": {\"version\": {\"qemu\": 7}}}", NULL},
        {"{\"QMP\": {\"version\": {}}}", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *version = cvd_qmp_version_of_greeting(cases[i].greeting);
        g_assert_cmpstr(version, ==, cases[i].version);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/qmp-message/answer/", rows, test_answer);
    g_test_add_func("/qmp-message/refusal", test_refusal);
    g_test_add_func("/qmp-message/greeting", test_greeting);
    g_test_add_func("/qmp-message/version", test_version);
    return g_test_run();
}
