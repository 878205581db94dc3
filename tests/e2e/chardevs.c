/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices, TPMs and shared memory of qemu.json, as QEMU has understood them. */
#include "tests/support/launcher.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *backend;  /* with ' in place of ", and %s in place of a file's path */
    const char *filename; /* as query-chardev has it, which QEMU writes from what it has read */
} Row;

static const Row rows[] = {
    {"{'type': 'null', 'data': {}}", "null"},
    {"{'type': 'ringbuf', 'data': {'size': 1024}}", "ringbuf"},
    {"{'type': 'pty'}", "pty:/dev/pts/"},
    {"{'type': 'file', 'data': {'out': '%s,x', 'append': true}}", "file"},
    {"{'type': 'pipe', 'data': {'device': '%s-pipe'}}", "pipe"},
    {"{'type': 'mux', 'data': {'chardev': 'c0'}}", "mux"},
    {"{'type': 'msmouse'}", "msmouse"},
    {"{'type': 'qemu-vdagent', 'data': {'clipboard': true}}", "qemu-vdagent"},
    {"{'type': 'udp', 'data': {'remote': {'type': 'inet', 'data': {'host': '127.0.0.1',"
     " 'port': '9'}}}}",
     "udp"},
    /* What listens by itself, as in QMP, and does not wait. */
    {"{'type': 'socket', 'data': {'addr': {'type': 'unix', 'data': {'path': '%s,y'}}}}",
     "disconnected:unix:%s,y,server=on"},
    {"{'type': 'socket', 'addr': {'type': 'unix', 'path': '%s,z'}, 'server': true, 'wait': false}",
     "disconnected:unix:%s,z,server=on"},
    {"{'type': 'socket', 'addr': {'type': 'inet', 'host': '127.0.0.1', 'port': '0', 'ipv6': false},"
     " 'telnet': true}",
     "disconnected:telnet:127.0.0.1:"},
    {"{'type': 'socket', 'addr': {'type': 'unix', 'path': '%s,n'}, 'server': false,"
     " 'reconnect': 3600}",
     "disconnected:unix:%s,n"},
};

/* With the sandbox's file and with double quotes. */
static char *fill_in(const char *text, const char *file)
{
    g_autoptr(GString) filled = g_string_new(text);

    g_string_replace(filled, "%s", file, 0);
    g_string_replace(filled, "'", "\"", 0);
    return g_string_free(g_steal_pointer(&filled), FALSE);
}

/* What QEMU has of the character device @id, or NULL. */
static const char *find_filename(JsonNode *reply, const char *id)
{
    JsonArray *all = json_object_get_array_member(json_node_get_object(reply), "return");

    for (guint i = 0; i < json_array_get_length(all); i++) {
        JsonObject *one = json_array_get_object_element(all, i);
        if (strcmp(json_object_get_string_member(one, "label"), id) == 0)
            return json_object_get_string_member(one, "filename");
    }
    return NULL;
}

static void test_types(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *file = test_sandbox_path(sandbox, "f");
    g_autofree char *pipe = test_sandbox_path(sandbox, "f-pipe");
    g_autofree char *monitor_argument = test_monitor_argument(sandbox);
    g_autoptr(GString) chardevs = g_string_new("qemu.chardevs=[");

    g_assert_no_errno(mkfifo(pipe, 0600));
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *backend = fill_in(rows[i].backend, file);
        g_string_append_printf(chardevs, "%s{\"id\":\"c%u\",\"backend\":%s}", i > 0 ? "," : "", i,
                               backend);
    }
    g_string_append_c(chardevs, ']');
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "cvd-1", "--set", chardevs->str, "--set", monitor_argument, NULL);
    test_launcher_wait_running(launcher);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(sandbox);
    g_autofree char *text = test_monitor_execute(monitor, "query-chardev");
    g_autoptr(JsonNode) reply = json_from_string(text, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *id = g_strdup_printf("c%u", i);
        g_autofree char *expected = fill_in(rows[i].filename, file);
        const char *filename = find_filename(reply, id);
        if (filename == NULL || !g_str_has_prefix(filename, expected))
            test_process_fail(launcher, "%s: QEMU has '%s' instead of '%s'", rows[i].backend,
                              filename, expected);
    }
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void test_shared_memory(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *monitor_argument = test_monitor_argument(sandbox);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "cvd-1", "--set", "qemu.memory_shared=true", "--set",
                    "qemu.memory=65M", "--set", monitor_argument, NULL);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "cvd-1", 1);
    g_autoptr(TestMonitor) monitor = test_monitor_connect(sandbox);
    g_autofree char *text = test_monitor_execute(monitor, "query-memdev");
    g_autoptr(JsonNode) reply = json_from_string(text, NULL);
    JsonArray *all = json_object_get_array_member(json_node_get_object(reply), "return");
    JsonObject *memory = json_array_get_object_element(all, 0);
    g_assert_cmpuint(json_array_get_length(all), ==, 1);
    g_assert_true(json_object_get_boolean_member(memory, "share"));
    g_assert_cmpint(json_object_get_int_member(memory, "size"), ==, 65 << 20);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/chardevs/types", NULL, test_types);
    test_add("/chardevs/shared-memory", NULL, test_shared_memory);
    return g_test_run();
}
