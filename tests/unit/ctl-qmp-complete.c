/* SPDX-License-Identifier: Apache-2.0 */
/* What can follow on a line, from what a QEMU says; also one that was taken over. */
#include "ctl/qmp.h"

#include "tests/support/rows.h"

#include <string.h>

static const char commands[] =
    "[{\"name\": \"query-status\"}, {\"name\": \"query-stats\"}, {\"name\": \"add\"},"
    " {\"name\": \"x\\u001b[31m\"}, {\"name\": \"\"}, {\"name\": 1}, 1, {}]";

static const char schema[] =
    "[{\"name\": \"add\", \"meta-type\": \"command\", \"arg-type\": \"1\"},"
    " {\"name\": \"query-status\", \"meta-type\": \"command\", \"arg-type\": \"0\"},"
    " {\"name\": \"0\", \"meta-type\": \"object\", \"members\": []},"
    " {\"name\": \"1\", \"meta-type\": \"object\", \"tag\": \"driver\","
    "  \"members\": [{\"name\": \"driver\", \"type\": \"2\"}, {\"name\": \"read-only\", \"type\": "
    "\"bool\"},"
    "                {\"name\": \"file\", \"type\": \"3\"}, {\"name\": \"loop\", \"type\": "
    "\"loop\"},"
    "                {\"name\": \"\\u001b[31m\", \"type\": \"str\"}, {\"name\": [], \"type\": []}, "
    "5],"
    "  \"variants\": [{\"case\": \"raw\", \"type\": \"4\"}, {\"case\": \"qcow2\", \"type\": \"5\"},"
    "                 {\"case\": \"lost\", \"type\": \"99\"}, {\"case\": \"self\", \"type\": "
    "\"1\"}, []]},"
    " {\"name\": \"2\", \"meta-type\": \"enum\", \"values\": [\"raw\", \"qcow2\", \"\\u001b[31m\", "
    "{}]},"
    " {\"name\": \"3\", \"meta-type\": \"alternate\", \"members\": [{\"type\": \"str\"}, "
    "{\"type\": \"1\"}]},"
    " {\"name\": \"4\", \"meta-type\": \"object\", \"members\": [{\"name\": \"offset\", \"type\": "
    "\"int\"}]},"
    " {\"name\": \"5\", \"meta-type\": \"object\", \"members\": [{\"name\": \"l2\", \"type\": "
    "\"int\"}]},"
    " {\"name\": \"bool\", \"meta-type\": \"builtin\", \"json-type\": \"boolean\"},"
    " {\"name\": \"str\", \"meta-type\": \"builtin\", \"json-type\": \"string\"},"
    " {\"name\": \"loop\", \"meta-type\": \"alternate\", \"members\": [{\"type\": \"loop\"}]},"
    " {\"name\": \"odd\", \"meta-type\": \"object\", \"members\": {\"a\": 1}}, {}, 7]";

typedef struct {
    const char *name;
    const char *line;
    const char *found; /* joined by `|` */
} Row;

static const Row rows[] = {
    {"all-commands", "", "add |query-stats |query-status "},
    {"space-first", "  q", "query-stats |query-status "},
    {"begun-command", "query-", "query-stats |query-status "},
    {"whole-command", "query-status", "query-status "},
    {"unknown-command", "nosuch", ""},
    {"no-arguments", "query-status ", ""},
    {"arguments-of-unknown", "nosuch a", ""},
    {"arguments", "add ", "driver=|file=|loop=|read-only="},
    {"begun-argument", "add r", "read-only="},
    {"another-argument", "add driver=raw ", "file=|loop=|offset=|read-only="},
    {"variant", "add driver=qcow2 l", "l2=|loop="},
    {"unknown-variant", "add driver=nosuch o", ""},
    {"variant-that-leads-nowhere", "add driver=lost o", ""},
    {"variant-in-a-circle", "add driver=self f", "file="},
    {"enum", "add driver=", "driver=qcow2 |driver=raw "},
    {"begun-enum", "add driver=q", "driver=qcow2 "},
    {"boolean", "add read-only=", "read-only=false |read-only=true "},
    {"string", "add read-only=true nosuch=", ""},
    {"nested", "add file.", "file.driver=|file.file=|file.loop=|file.read-only="},
    {"nested-variant", "add driver=qcow2 file.driver=raw file.o", "file.offset="},
    {"nested-value", "add file.driver=r", "file.driver=raw "},
    {"nested-twice", "add file.file.read-only=t", "file.file.read-only=true "},
    {"nested-in-nothing", "add nosuch.", ""},
    {"nested-in-a-circle", "add loop.", ""},
    {"dots", "add ...", ""},
    {"equals-sign", "add =", ""},
    {"json", "{\"execute\": \"a", ""},
};

static CvdCtlQmpNames *make_names(void)
{
    CvdCtlQmpNames *names = cvd_ctl_qmp_names_new();

    cvd_ctl_qmp_names_set_schema(names, schema, strlen(schema));
    cvd_ctl_qmp_names_set_commands(names, commands, strlen(commands));
    return names;
}

static void test_complete(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(CvdCtlQmpNames) names = make_names();
    gsize n_begun;
    g_autoptr(GPtrArray) found = cvd_ctl_qmp_complete(names, row->line, &n_begun);

    g_ptr_array_add(found, NULL);
    g_autofree char *joined = g_strjoinv("|", (char **)found->pdata);
    g_assert_cmpstr(joined, ==, row->found);
    const char *space = strrchr(row->line, ' ');
    g_assert_cmpuint(n_begun, ==, strlen(space != NULL ? space + 1 : row->line));
}

/* Before QEMU has answered, and when it has not said what it should. */
static void test_no_names(void)
{
    static const char *const replies[] = {"", "{}", "[", "null", "[[[[]]]]"};

    for (gsize i = 0; i < G_N_ELEMENTS(replies); i++) {
        g_autoptr(CvdCtlQmpNames) names = cvd_ctl_qmp_names_new();
        gsize n_begun;
        g_assert_false(cvd_ctl_qmp_names_are_known(names));
        for (guint k = 0; k < 2; k++) {
            g_autoptr(GPtrArray) of_command = cvd_ctl_qmp_complete(names, "add", &n_begun);
            g_autoptr(GPtrArray) of_argument = cvd_ctl_qmp_complete(names, "add f", &n_begun);
            g_assert_cmpuint(of_command->len + of_argument->len, ==, 0);
            g_assert_null(cvd_ctl_qmp_names_nearest(names, "add"));
            cvd_ctl_qmp_names_set_commands(names, replies[i], strlen(replies[i]));
            cvd_ctl_qmp_names_set_schema(names, replies[i], strlen(replies[i]));
        }
        g_assert_true(cvd_ctl_qmp_names_are_known(names));
    }
}

static void test_nearest(void)
{
    g_autoptr(CvdCtlQmpNames) names = make_names();

    g_assert_cmpstr(cvd_ctl_qmp_names_nearest(names, "quer-status"), ==, "query-status");
    g_assert_null(cvd_ctl_qmp_names_nearest(names, "query-status"));
    g_assert_null(cvd_ctl_qmp_names_nearest(names, "entirely-different"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/ctl-qmp-complete/line/", rows, test_complete);
    g_test_add_func("/ctl-qmp-complete/no-names", test_no_names);
    g_test_add_func("/ctl-qmp-complete/nearest", test_nearest);
    return g_test_run();
}
