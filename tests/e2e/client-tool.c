/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-client, each verb, against the launcher's server with cvd-vm in the place of QEMU, and once
 * with the built-in guest in a real one. Regions are those of conf/vsoc_mem.json: one page of
 * descriptors, then hwcomposer (16384 bytes), sensors (16384), misc (8192) and others, each with
 * two tables of four slots and their words: 2 × (4 × 4 + 4) = 0x28 bytes before the data.
 */
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "tool"

typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    TestProcess *vm;
    char *client_socket;
} Fixture;

static const char *tool_path(void)
{
    const char *path = g_getenv("CVD_CLIENT");
    if (path == NULL)
        g_error("CVD_CLIENT is not set: run the tests through `meson test`");
    return path;
}

static TestProcess *start(const TestSandbox *sandbox, va_list args)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    char *arg;
    g_ptr_array_add(argv, (char *)tool_path());
    do {
        arg = va_arg(args, char *);
        g_ptr_array_add(argv, arg);
    } while (arg != NULL);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

static TestProcess *start_tool(const TestSandbox *sandbox, ...) G_GNUC_NULL_TERMINATED;
static char *run_tool(const TestSandbox *sandbox, ...) G_GNUC_NULL_TERMINATED;
static JsonNode *run_json(const TestSandbox *sandbox, ...) G_GNUC_NULL_TERMINATED;
static void fail_tool(const TestSandbox *sandbox, int status, const char *message,
                      ...) G_GNUC_NULL_TERMINATED;

static TestProcess *start_tool(const TestSandbox *sandbox, ...)
{
    va_list args;
    va_start(args, sandbox);
    TestProcess *tool = start(sandbox, args);
    va_end(args);
    return tool;
}

/* What goes well says nothing on stderr. */
static char *finish_tool(TestProcess *tool)
{
    test_launcher_assert_exit(tool, 0);
    g_assert_cmpstr(tool->err->str, ==, "");
    return g_strdup(tool->out->str);
}

static char *run_tool(const TestSandbox *sandbox, ...)
{
    va_list args;
    va_start(args, sandbox);
    g_autoptr(TestProcess) tool = start(sandbox, args);
    va_end(args);
    return finish_tool(tool);
}

static JsonNode *parse_line(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(g_str_has_suffix(text, "\n"));
    g_assert_true(strchr(text, '\n') == text + strlen(text) - 1);
    JsonNode *node = json_from_string(text, &error);
    g_assert_no_error(error);
    g_assert_true(JSON_NODE_HOLDS_OBJECT(node));
    return node;
}

static JsonNode *run_json(const TestSandbox *sandbox, ...)
{
    va_list args;
    va_start(args, sandbox);
    g_autoptr(TestProcess) tool = start(sandbox, args);
    va_end(args);
    g_autofree char *text = finish_tool(tool);
    return parse_line(text);
}

/* What fails prints nothing but one line that says why. */
static void fail_tool(const TestSandbox *sandbox, int status, const char *message, ...)
{
    va_list args;
    va_start(args, message);
    g_autoptr(TestProcess) tool = start(sandbox, args);
    va_end(args);
    test_launcher_assert_exit(tool, status);
    test_launcher_assert_err(tool, message);
    g_assert_cmpstr(tool->out->str, ==, "");
    g_assert_true(g_str_has_prefix(tool->err->str, "cvd-client: "));
    g_assert_true(strchr(tool->err->str, '\n') == tool->err->str + tool->err->len - 1);
}

static JsonObject *object_of(JsonNode *node)
{
    return json_node_get_object(node);
}

static Fixture *set_up_with(const char *vm_option)
{
    Fixture *f = g_new0(Fixture, 1);
    f->sandbox = test_sandbox_new();
    f->launcher = test_serve_only(f->sandbox, NAME);
    f->client_socket = test_sandbox_instance_path(f->sandbox, NAME, "client.sock");
    f->vm = test_vm_start(f->sandbox, "--name", NAME, vm_option, NULL);
    if (vm_option)
        test_process_wait_err(f->vm, "nothing is served", 1);
    else
        test_vm_wait_ready(f->vm);
    return f;
}

static Fixture *set_up(void)
{
    return set_up_with(NULL);
}

static void tear_down(Fixture *f)
{
    if (!f->vm->has_ended) {
        test_process_signal(f->vm, SIGTERM);
        test_process_wait_end(f->vm);
    }
    if (!f->launcher->has_ended) {
        test_launcher_stop(f->launcher, SIGTERM);
    }
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
    test_process_free(f->vm);
    test_process_free(f->launcher);
    test_sandbox_free(f->sandbox);
    g_free(f->client_socket);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, tear_down)

static void test_list(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autofree char *text = run_tool(f->sandbox, "list", NULL);
    g_assert_cmpstr(text, ==,
                    "NAME             BEGIN             SIZE  DATA        VERSION  COMPATIBLE\n"
                    "hwcomposer       0x00001000       16384  0x28              1           1\n"
                    "sensors          0x00005000       16384  0x28              1           1\n"
                    "misc             0x00009000        8192  0x28              1           1\n"
                    "fb_manager       0x0000b000        8192  0x28              1           1\n"
                    "framebuffer      0x0000d000     1052672  0x28              1           1\n");

    g_autoptr(JsonNode) root = run_json(f->sandbox, "list", "--json", NULL);
    JsonArray *regions = json_object_get_array_member(object_of(root), "regions");
    g_assert_cmpuint(json_array_get_length(regions), ==, 5);
    g_assert_cmpint(json_object_get_int_member(object_of(root), "window_size"), ==, 2 << 20);
    JsonObject *last = json_array_get_object_element(regions, 4);
    g_assert_cmpstr(json_object_get_string_member(last, "device_name"), ==, "framebuffer");
    g_assert_cmpstr(json_object_get_string_member(last, "managed_by"), ==, "fb_manager");
    g_assert_cmpint(json_object_get_int_member(last, "region_size"), ==, 1052672);
}

static void test_info(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autofree char *text =
        run_tool(f->sandbox, "--socket", f->client_socket, "info", "misc", NULL);
    g_assert_cmpstr(text, ==,
                    "name            misc\n"
                    "index           2 of 5\n"
                    "in the window   0x00009000 to 0x0000b000\n"
                    "size            8192 bytes\n"
                    "data            8152 bytes at 0x28\n"
                    "version         1, compatible with 1 and later\n"
                    "guest to host   4 slots at 0x0, word at 0x10\n"
                    "host to guest   4 slots at 0x14, word at 0x24\n");
    g_autofree char *managed = run_tool(f->sandbox, "info", "framebuffer", NULL);
    g_assert_true(g_str_has_suffix(managed, "\nmanaged by      fb_manager\n"));

    g_autoptr(JsonNode) root = run_json(f->sandbox, "--json", "info", "misc", "-n", NAME, NULL);
    JsonObject *info = object_of(root);
    g_assert_cmpstr(json_object_get_string_member(info, "device_name"), ==, "misc");
    g_assert_cmpint(json_object_get_int_member(info, "index"), ==, 2);
    g_assert_cmpint(json_object_get_int_member(info, "region_begin_offset"), ==, 0x9000);
    g_assert_cmpint(json_object_get_int_member(info, "region_end_offset"), ==, 0xb000);
    g_assert_cmpint(json_object_get_int_member(info, "region_size"), ==, 8192);
    g_assert_cmpint(json_object_get_int_member(info, "current_version"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(info, "min_compatible_version"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(info, "offset_of_region_data"), ==, 0x28);
    JsonObject *table = json_object_get_object_member(info, "host_to_guest_signal_table");
    g_assert_cmpint(json_object_get_int_member(table, "num_nodes_lg2"), ==, 2);
    g_assert_cmpint(json_object_get_int_member(table, "futex_uaddr_table_offset"), ==, 0x14);
    g_assert_cmpint(json_object_get_int_member(table, "interrupt_signalled_offset"), ==, 0x24);
}

static void write_window(const TestRegion *region, gsize offset, const void *bytes, gsize size)
{
    memcpy(region->map + offset, bytes, size);
}

/* What the guest has spoilt is not shown, and the rest is. */
static void test_spoilt_descriptors(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "hwcomposer");
    guint32 far = 0x7fffffff;
    write_window(region, 16 + 60 * 1 + 12, &far, sizeof far); /* offset_of_region_data of sensors */
    g_autoptr(TestProcess) list = start_tool(f->sandbox, "list", NULL);
    test_launcher_assert_exit(list, 1);
    test_launcher_assert_err(list, "sensors");
    g_assert_nonnull(strstr(list->out->str, "?"));
    g_assert_nonnull(strstr(list->out->str, "framebuffer"));
    fail_tool(f->sandbox, 1, "descriptor", "info", "sensors", NULL);
    fail_tool(f->sandbox, 1, "descriptor", "watch", "sensors", NULL);
    fail_tool(f->sandbox, 1, "descriptor", "read", "sensors", "0x28", "4", NULL);
    g_free(run_tool(f->sandbox, "info", "misc", NULL));

    write_window(region, 12, &far, sizeof far); /* vsoc_region_desc_offset */
    g_autoptr(TestProcess) again = start_tool(f->sandbox, "list", NULL);
    test_launcher_assert_exit(again, 1);
    g_assert_nonnull(strstr(again->out->str, "framebuffer"));
}

/* Looking changes nothing: signals, words and doorbells are as before. */
static void test_looking_is_not_touching(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up_with("--mute");
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    *test_region_word(region, 0x0) = 0x30;
    *test_region_word(region, 0x10) = 1;
    *test_region_word(region, 0x14) = 0x34;
    *test_region_word(region, 0x24) = 1;
    g_assert_false(test_region_is_rung(region));
    static const char *const verbs[] = {"list", "info", "watch"};
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
        const char *argument = i == 0 ? NULL : "misc";
        g_autoptr(TestProcess) tool = start_tool(f->sandbox, verbs[i], argument, NULL);
        if (i == 2) {
            test_process_wait_out(tool, "host to guest slot 0 0x00000000 -> 0x00000034", 1);
            test_process_signal(tool, SIGINT);
        }
        test_launcher_assert_exit(tool, 0);
    }
    g_assert_cmphex(*test_region_word(region, 0x0), ==, 0x30);
    g_assert_cmphex(*test_region_word(region, 0x10), ==, 1);
    g_assert_cmphex(*test_region_word(region, 0x14), ==, 0x34);
    g_assert_cmphex(*test_region_word(region, 0x24), ==, 1);
    g_assert_false(test_region_is_rung(region));
}

static void test_read_and_write(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autofree char *nothing =
        run_tool(f->sandbox, "write", "misc", "0x28", "42", "0xDEADBEEF", NULL);
    g_assert_cmpstr(nothing, ==, "");
    g_autofree char *dump = run_tool(f->sandbox, "read", "misc", "40", "8", NULL);
    g_assert_cmpstr(dump, ==,
                    "00000028  2a 00 00 00 ef be ad de                           |*.......|\n"
                    "00000030\n");
    g_autoptr(JsonNode) root = run_json(f->sandbox, "read", "misc", "0x29", "4", "--json", NULL);
    g_assert_cmpstr(json_object_get_string_member(object_of(root), "bytes"), ==, "000000ef");

    /* Up to the end; equal lines are one star. */
    g_autofree char *rest = run_tool(f->sandbox, "read", "misc", "0x30", NULL);
    g_assert_true(g_str_has_suffix(rest, "\n*\n00002000\n"));
    g_autofree char *last = run_tool(f->sandbox, "read", "misc", "8191", "1", NULL);
    g_assert_true(g_str_has_suffix(last, "\n00002000\n"));
}

static TestProcess *shell(const TestSandbox *sandbox, const char *script)
{
    const char *argv[] = {"sh", "-c", script, "sh", tool_path(), NULL};
    return test_process_start(sandbox, argv, NULL, NULL);
}

static void test_raw(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) there = shell(f->sandbox, "printf 'three' | \"$1\" write misc 41 --raw");
    g_free(finish_tool(there));
    g_autofree char *back = run_tool(f->sandbox, "read", "misc", "--raw", "41", "5", NULL);
    g_assert_cmpstr(back, ==, "three");
    g_autoptr(TestProcess) whole = shell(f->sandbox, "\"$1\" read framebuffer 0 --raw | wc -c");
    g_autofree char *size = finish_tool(whole);
    g_assert_cmpint(atoi(size), ==, 1052672);

    /* One byte more than there is room for: none is written. */
    g_autoptr(TestProcess) fits =
        shell(f->sandbox, "head -c 4 /dev/zero | tr '\\0' x | \"$1\" write misc 8188 --raw");
    g_free(finish_tool(fits));
    g_autoptr(TestProcess) longer =
        shell(f->sandbox, "head -c 5 /dev/zero | tr '\\0' y | \"$1\" write misc 8188 --raw");
    test_launcher_assert_exit(longer, 1);
    test_launcher_assert_err(longer, "nothing was written");
    g_autofree char *kept = run_tool(f->sandbox, "read", "misc", "-r", "8188", NULL);
    g_assert_cmpstr(kept, ==, "xxxx");
}

static void test_bounds(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    const TestSandbox *s = f->sandbox;
    fail_tool(s, 1, "8192 bytes", "read", "misc", "8192", NULL);
    fail_tool(s, 1, "8192 bytes", "read", "misc", "0xffffffff", NULL);
    fail_tool(s, 1, "there are 1, not 2", "read", "misc", "8191", "2", NULL);
    fail_tool(s, 1, "there are 8192, not 4294967295", "read", "misc", "0", "0xffffffff", NULL);
    fail_tool(s, 1, "0x2a is not a multiple of 4; its word begins at 0x28", "write", "misc", "0x2a",
              "1", NULL);
    fail_tool(s, 1, "8192 bytes", "write", "misc", "8192", "1", NULL);
    fail_tool(s, 1, "there are 4, not 8", "write", "misc", "8188", "1", "2", NULL);
    fail_tool(s, 1, "--force", "write", "misc", "0x24", "1", NULL);
    fail_tool(s, 1, "multiple of 4", "signal", "misc", "0x29", NULL);
    fail_tool(s, 1, "8192 bytes", "signal", "misc", "8192", NULL);
    fail_tool(s, 1, "offset 0", "signal", "misc", "0", NULL);
    fail_tool(s, 1, "no pair of words", "ping", "misc", "-o", "0x24", NULL);
    fail_tool(s, 1, "no pair of words", "ping", "misc", "-o", "8188", NULL);
    g_free(run_tool(s, "write", "misc", "8188", "1", NULL));
    g_free(run_tool(s, "write", "--force", "misc", "0", "0", NULL));
}

/* The fake VM adds one and signals the next word. */
static void test_signal_and_wait(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_free(run_tool(f->sandbox, "write", "misc", "0x40", "41", NULL));
    g_free(run_tool(f->sandbox, "signal", "misc", "0x40", NULL));
    g_autofree char *text = run_tool(f->sandbox, "wait", "misc", "--timeout", "60", NULL);
    g_assert_cmpstr(text, ==, "signal 0x00000044, word 0x0000002a\n");
    g_free(run_tool(f->sandbox, "signal", "misc", "0x40", NULL));
    g_autoptr(JsonNode) root = run_json(f->sandbox, "wait", "misc", "--json", NULL);
    JsonArray *signals = json_object_get_array_member(object_of(root), "signals");
    g_assert_cmpuint(json_array_get_length(signals), ==, 1);
    JsonObject *first = json_array_get_object_element(signals, 0);
    g_assert_cmpint(json_object_get_int_member(first, "offset"), ==, 0x44);
    g_assert_cmpint(json_object_get_int_member(first, "word"), ==, 0x2a);
}

/* A ring without a signal, which is answered in kind. */
static void test_wait_for_an_interrupt(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    g_autofree char *nothing = run_tool(f->sandbox, "ring", "misc", NULL);
    g_assert_cmpstr(nothing, ==, "");
    g_autofree char *text = run_tool(f->sandbox, "wait", "misc", NULL);
    g_assert_cmpstr(text, ==, "interrupt\n");
    test_region_ring(region);
    g_autoptr(JsonNode) root = run_json(f->sandbox, "wait", "misc", "--json", NULL);
    g_assert_cmpuint(
        json_array_get_length(json_object_get_array_member(object_of(root), "signals")), ==, 0);
}

static void test_wait_for_nothing(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    fail_tool(f->sandbox, 1, "nothing came within 0.01 s", "wait", "misc", "-t", "0.01", NULL);
}

static void test_table_full(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up_with("--mute");
    static const char *const offsets[] = {"0x30", "0x34", "0x38", "0x3c"};
    for (guint i = 0; i < G_N_ELEMENTS(offsets); i++)
        g_free(run_tool(f->sandbox, "signal", "misc", offsets[i], NULL));
    fail_tool(f->sandbox, 1, "all 4 slots", "signal", "misc", "0x40", NULL);
    g_free(run_tool(f->sandbox, "signal", "misc", "0x34", NULL));
}

static void assert_summary(const char *text, const char *n)
{
    g_autofree char *counts = g_strdup_printf("%s sent, %s answered, 0 wrong, 0%% lost", n, n);
    g_assert_nonnull(strstr(text, counts));
    g_assert_true(g_regex_match_simple(
        "\nrtt min/avg/p50/p99/max = [0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+ us\n$", text, 0, 0));
}

static void test_ping_verb(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autofree char *few = run_tool(f->sandbox, "ping", "misc", "-c", "3", NULL);
    assert_summary(few, "3");
    g_assert_nonnull(strstr(few, "\n3: time "));
    g_autofree char *many = run_tool(f->sandbox, "ping", "misc", "-c", "1000", NULL);
    assert_summary(many, "1000");
    g_assert_null(strstr(many, ": time "));
    g_autofree char *paced = run_tool(f->sandbox, "ping", "misc", "-c", "3", "-i", "0.01", NULL);
    assert_summary(paced, "3");

    g_autoptr(JsonNode) root = run_json(f->sandbox, "ping", "misc", "-c", "9", "--json", NULL);
    g_assert_cmpint(json_object_get_int_member(object_of(root), "answered"), ==, 9);
    JsonObject *rtt = json_object_get_object_member(object_of(root), "rtt_us");
    double min = json_object_get_double_member(rtt, "min");
    double p50 = json_object_get_double_member(rtt, "p50");
    double max = json_object_get_double_member(rtt, "max");
    g_assert_true(0 < min && min <= p50 && p50 <= max);
}

/* Nobody has taken the answers to signals before it. */
static void test_ping_after_signals(gconstpointer data)
{
    static const char *const offsets[] = {"0x28", "0x30", "0x38", "0x40"};
    g_autoptr(Fixture) f = set_up();
    for (guint round = 0; round < 5; round++) {
        for (guint i = 0; i < G_N_ELEMENTS(offsets); i++)
            g_free(run_tool(f->sandbox, "signal", "sensors", offsets[i], NULL));
        g_autofree char *text = run_tool(f->sandbox, "ping", "sensors", "-c", "1", NULL);
        assert_summary(text, "1");
    }
}

/* The words that a ping uses have afterwards what they had. */
static void test_ping_restores(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_free(run_tool(f->sandbox, "write", "misc", "0x1ff8", "0x11111111", "0x22222222", NULL));
    g_free(run_tool(f->sandbox, "write", "misc", "0x80", "0x33333333", "0x44444444", NULL));
    g_free(run_tool(f->sandbox, "ping", "misc", "-c", "5", NULL));
    g_free(run_tool(f->sandbox, "ping", "misc", "-c", "5", "-o", "0x80", NULL));
    g_autoptr(JsonNode) last = run_json(f->sandbox, "read", "misc", "0x1ff8", "8", "--json", NULL);
    g_autoptr(JsonNode) other = run_json(f->sandbox, "read", "misc", "0x80", "8", "--json", NULL);
    g_assert_cmpstr(json_object_get_string_member(object_of(last), "bytes"), ==,
                    "1111111122222222");
    g_assert_cmpstr(json_object_get_string_member(object_of(other), "bytes"), ==,
                    "3333333344444444");
}

static void test_ping_until_interrupted(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) tool = start_tool(f->sandbox, "ping", "misc", "-i", "0.001", NULL);
    test_process_wait_out(tool, ": time ", 3);
    test_launcher_stop(tool, SIGINT);
    g_assert_nonnull(strstr(tool->out->str, "0 wrong, 0% lost"));
}

/* A guest that does not answer: the end comes by the user, with a summary. */
static void test_ping_a_mute_guest(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up_with("--mute");
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "misc");
    for (guint is_json = 0; is_json < 2; is_json++) {
        guint64 count;
        g_autoptr(TestProcess) tool =
            start_tool(f->sandbox, "ping", "misc", is_json ? "--json" : NULL, NULL);
        test_wait_readable(region->host_to_guest, "the ring of a ping");
        g_assert_cmpint(read(region->host_to_guest, &count, sizeof count), ==, sizeof count);
        *test_region_word(region, region->out.word) = 0; /* so that the next one rings, too */
        test_process_signal(tool, SIGINT);
        test_launcher_assert_exit(tool, 1);
        test_launcher_assert_err(tool, "0 of 1 pings were answered");
        g_assert_nonnull(
            strstr(tool->out->str,
                   is_json ? "\"sent\":1,\"answered\":0,\"wrong\":0,\"unfinished\":1}"
                           : "\n1 sent, 0 answered, 0 wrong, 0% lost, 1 unfinished, time "));
    }
}

/* No VM yet: the first ping waits for it. */
static void test_ping_before_the_guest(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) other = test_serve_only(f->sandbox, "late");
    g_autoptr(TestProcess) tool =
        start_tool(f->sandbox, "ping", "misc", "-n", "late", "-c", "2", NULL);
    test_process_wait_out(tool, "PING misc", 1);
    g_autoptr(TestProcess) vm = test_vm_start(f->sandbox, "--name", "late", NULL);
    test_launcher_assert_exit(tool, 0);
    assert_summary(tool->out->str, "2");
    test_process_signal(vm, SIGTERM);
    test_process_wait_end(vm);
    test_launcher_stop(other, SIGTERM);
}

/* The server's end ends what waits, and says so. */
static void test_server_stops(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) ping = start_tool(f->sandbox, "ping", "misc", "-i", "0.01", NULL);
    g_autoptr(TestProcess) watch = start_tool(f->sandbox, "watch", "misc", "-i", "3600", NULL);
    g_autoptr(TestProcess) wait = start_tool(f->sandbox, "wait", "hwcomposer", NULL);
    test_process_wait_out(ping, ": time ", 2);
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    test_process_signal(f->launcher, SIGTERM);
    test_region_wait_closed(region);
    TestProcess *tools[] = {ping, watch, wait};
    for (guint i = 0; i < G_N_ELEMENTS(tools); i++) {
        test_launcher_assert_exit(tools[i], 1);
        g_assert_true(g_str_has_prefix(tools[i]->err->str, "cvd-client: "));
    }
    g_assert_nonnull(strstr(ping->out->str, "ping statistics"));
    test_launcher_assert_exit(f->launcher, 0);
}

static void test_watch(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up_with("--mute");
    g_autoptr(TestProcess) lines =
        start_tool(f->sandbox, "watch", "misc", "--interval", "0.001", NULL);
    g_autoptr(TestProcess) json =
        start_tool(f->sandbox, "watch", "misc", "-i", "0.001", "--json", NULL);
    g_free(run_tool(f->sandbox, "signal", "misc", "0x30", NULL));
    /* 0x30 / 4 = 12, and 12 modulo 4 slots is 0; any hash is allowed, so only the value counts */
    test_process_wait_out(lines, "0x00000000 -> 0x00000030", 1);
    test_process_wait_out(lines, "host to guest word 0x00000000 -> 0x00000001", 1);
    test_process_wait_out(json, "\"new\":48", 1);
    test_process_signal(lines, SIGINT);
    test_process_signal(json, SIGTERM);
    test_launcher_assert_exit(lines, 0);
    test_launcher_assert_exit(json, 0);
    g_auto(GStrv) objects = g_strsplit(json->out->str, "\n", -1);
    for (guint i = 0; objects[i + 1] != NULL; i++) {
        g_autofree char *line = g_strconcat(objects[i], "\n", NULL);
        g_autoptr(JsonNode) node = parse_line(line);
        g_assert_cmpstr(json_object_get_string_member(object_of(node), "table"), ==,
                        "host_to_guest");
    }
}

/* A terminal, and what has been written to it. */
typedef struct {
    int master;
    int slave;
    GString *seen;
} Terminal;

static void terminal_open(Terminal *terminal, unsigned short rows, unsigned short columns)
{
    const struct winsize size = {.ws_row = rows, .ws_col = columns};
    g_assert_no_errno(openpty(&terminal->master, &terminal->slave, NULL, NULL, &size));
    terminal->seen = g_string_new(NULL);
}

static void terminal_clear(Terminal *terminal)
{
    close(terminal->master);
    if (terminal->slave >= 0)
        close(terminal->slave);
    g_string_free(terminal->seen, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Terminal, terminal_clear)

/* Returns: FALSE once nobody has it open any more */
static gboolean terminal_read(Terminal *terminal)
{
    char buffer[4096];
    test_wait_readable(terminal->master, "the terminal");
    gssize n = read(terminal->master, buffer, sizeof buffer);
    if (n > 0)
        g_string_append_len(terminal->seen, buffer, n);
    return n > 0;
}

/* Interrupts @tool, and reads on until it has left: a terminal that is full would hold it up. */
static void terminal_end(Terminal *terminal, TestProcess *tool)
{
    test_process_signal(tool, SIGINT);
    close(terminal->slave);
    terminal->slave = -1;
    while (terminal_read(terminal))
        ;
}

/* Each of its pictures fits: no line is broken by the terminal, and none scrolls out of it. */
static void assert_fits(const char *seen, guint rows, guint columns)
{
    g_autoptr(GRegex) up = g_regex_new("\033\\[[0-9]+A", 0, 0, NULL);
    g_autoptr(GRegex) other = g_regex_new("\033\\[[0-9]*[A-Z]|\r", 0, 0, NULL);
    g_auto(GStrv) pictures = g_regex_split(up, seen, 0);
    for (guint i = 0; pictures[i] != NULL; i++) {
        g_autofree char *plain = g_regex_replace_literal(other, pictures[i], -1, 0, "", 0, NULL);
        g_auto(GStrv) lines = g_strsplit(plain, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), <=, rows);
        for (guint k = 0; lines[k] != NULL; k++)
            g_assert_cmpuint(strlen(lines[k]), <, columns);
    }
}

typedef struct {
    unsigned short rows;
    unsigned short columns;
    const char *sign; /* of a signal */
} Screen;

/* On a terminal it draws, and draws anew in its place. */
static void test_watch_on_a_terminal(gconstpointer data)
{
    const Screen *screen = data;
    g_autoptr(Fixture) f = set_up_with("--mute");
    g_auto(Terminal) terminal;
    gboolean has_signalled = FALSE;
    terminal_open(&terminal, screen->rows, screen->columns);
    g_autofree char *script =
        g_strdup_printf("exec \"$1\" watch misc -i 0.001 > %s", ttyname(terminal.slave));
    g_autoptr(TestProcess) tool = shell(f->sandbox, script);
    while (strstr(terminal.seen->str, screen->sign) == NULL) {
        g_assert_true(terminal_read(&terminal));
        if (!has_signalled)
            g_free(run_tool(f->sandbox, "signal", "misc", "0x30", NULL));
        has_signalled = TRUE;
    }
    terminal_end(&terminal, tool);
    test_launcher_assert_exit(tool, 0);
    /* Up the three lines of an empty picture. */
    g_assert_nonnull(strstr(terminal.seen->str, "\033[3A"));
    assert_fits(terminal.seen->str, screen->rows, screen->columns);
}

/* How far it has got is shown on a terminal, and taken off it at the end. */
typedef struct {
    const char *arguments;
    const char *shown; /* patterns: of what comes first */
    const char *all;   /* and of everything */
    int status;        /* once it is interrupted */
} Progress;

static const Progress progress[] = {
    {"ping misc", "\ranswered [0-9]+\033\\[K", "^(\ranswered [0-9]+\033\\[K)+\r\033\\[K$", 0},
    {"bench misc -t 0.2", "\rround trips [0-9]+\033\\[K", "\r\033\\[K", 1},
};

static void test_progress_on_a_terminal(gconstpointer data)
{
    const Progress *row = data;
    g_autoptr(Fixture) f = set_up();
    g_auto(Terminal) terminal;
    terminal_open(&terminal, 24, 40);
    g_autofree char *script =
        g_strdup_printf("exec \"$1\" %s 2> %s", row->arguments, ttyname(terminal.slave));
    g_autoptr(TestProcess) tool = shell(f->sandbox, script);
    while (!g_regex_match_simple(row->shown, terminal.seen->str, 0, 0))
        g_assert_true(terminal_read(&terminal));
    terminal_end(&terminal, tool);
    test_launcher_assert_exit(tool, row->status);
    g_assert_true(g_regex_match_simple(row->all, terminal.seen->str, 0, 0));
}

/* Somebody who writes to a region, and thinks better of it. */
static void test_interrupted_write(gconstpointer data)
{
    static const char input[(1 << 16) + 1] = {1}; /* more than a pipe takes: some has been read */
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "framebuffer");
    g_autofree char *pipe = test_sandbox_path(f->sandbox, "pipe");
    g_autofree char *script = g_strdup_printf("exec \"$1\" write framebuffer 40 -r < '%s'", pipe);
    g_assert_no_errno(mkfifo(pipe, 0600));
    int fd = open(pipe, O_RDWR | O_CLOEXEC);
    g_autoptr(TestProcess) tool = shell(f->sandbox, script);
    g_assert_cmpint(write(fd, input, sizeof input), ==, sizeof input);
    test_process_signal(tool, SIGINT);
    test_launcher_assert_exit(tool, 1);
    g_assert_cmpuint(*test_region_word(region, 40), ==, 0);
    close(fd);
    g_unlink(pipe);
}

/* A line and its end, as typed. */
static void test_write_from_a_terminal(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_auto(Terminal) terminal;
    terminal_open(&terminal, 24, 80);
    g_autofree char *script =
        g_strdup_printf("exec \"$1\" write misc 0x28 --raw < %s", ttyname(terminal.slave));
    g_autoptr(TestProcess) tool = shell(f->sandbox, script);
    g_assert_cmpint(write(terminal.master, "three\n\004", 7), ==, 7);
    g_free(finish_tool(tool));
    g_autofree char *back = run_tool(f->sandbox, "read", "misc", "--raw", "0x28", "7", NULL);
    g_assert_cmpstr(back, ==, "three\n");
}

static char *checksum_of(const Fixture *f, const char *region)
{
    g_autofree char *script = g_strdup_printf("\"$1\" read %s 0x28 --raw | sha256sum", region);
    g_autoptr(TestProcess) sum = shell(f->sandbox, script);
    return finish_tool(sum);
}

/* Of all but the sum itself, which is at its end, in binary. */
static char *checksum_of_dump(const char *file, gsize data_size)
{
    g_autofree char *text = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(file, &text, &size, NULL));
    g_assert_cmpuint(size, ==, 48 + data_size + 32);
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)text, 48 + data_size);
}

static void assert_dump(JsonObject *dump, const char *file, const char *sum)
{
    g_assert_cmpstr(json_object_get_string_member(dump, "region"), ==, "framebuffer");
    g_assert_cmpstr(json_object_get_string_member(dump, "file"), ==, file);
    g_assert_cmpint(json_object_get_int_member(dump, "current_version"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(dump, "min_compatible_version"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(dump, "size"), ==, 1052632);
    g_assert_cmpstr(json_object_get_string_member(dump, "sha256"), ==, sum);
}

static void test_dump_and_restore(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autofree char *file = test_sandbox_path(f->sandbox, "dump");
    g_autoptr(TestProcess) fill =
        shell(f->sandbox, "head -c 1052632 /dev/urandom | \"$1\" write framebuffer 0x28 --raw");
    g_free(finish_tool(fill));
    g_autofree char *before = checksum_of(f, "framebuffer");
    g_autoptr(JsonNode) root = run_json(f->sandbox, "dump", "framebuffer", file, "--json", NULL);
    g_autofree char *sum = checksum_of_dump(file, 1052632);
    assert_dump(object_of(root), file, sum);

    g_autoptr(TestProcess) wipe =
        shell(f->sandbox, "head -c 1052632 /dev/zero | \"$1\" write framebuffer 0x28 --raw");
    g_free(finish_tool(wipe));
    g_autofree char *wiped = checksum_of(f, "framebuffer");
    g_assert_cmpstr(wiped, !=, before);
    g_autofree char *said = run_tool(f->sandbox, "restore", "framebuffer", file, NULL);
    g_autofree char *expected = g_strdup_printf("framebuffer: 1052632 bytes, SHA-256 %s\n", sum);
    g_assert_cmpstr(said, ==, expected);
    g_autoptr(JsonNode) again =
        run_json(f->sandbox, "restore", "framebuffer", file, "--json", NULL);
    assert_dump(object_of(again), file, sum);
    g_autofree char *after = checksum_of(f, "framebuffer");
    g_assert_cmpstr(after, ==, before);
}

static void flip(const char *file, gsize at)
{
    g_autofree char *text = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(file, &text, &size, NULL));
    text[at] ^= 1;
    g_assert_true(g_file_set_contents(file, text, (gssize)size, NULL));
}

static void test_restore_refuses(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    const TestSandbox *s = f->sandbox;
    g_autofree char *file = test_sandbox_path(s, "dump");
    g_free(run_tool(s, "write", "misc", "0x28", "0x5eed5eed", NULL));
    g_free(run_tool(s, "dump", "misc", file, NULL));
    g_free(run_tool(s, "write", "misc", "0x28", "1", NULL));
    fail_tool(s, 1, "sizes have to be the same", "restore", "hwcomposer", file, NULL);
    fail_tool(s, 1, "is of region 'misc'", "restore", "fb_manager", file, NULL);
    flip(file, 48 + 8000);
    fail_tool(s, 1, "checksum", "restore", "misc", file, NULL);
    flip(file, 48 + 8000);
    g_assert_cmpint(truncate(file, 48 + 8152 + 31), ==, 0);
    fail_tool(s, 1, "cut off", "restore", "misc", file, NULL);
    fail_tool(s, 1, "No such file", "restore", "misc", "/nonexistent", NULL);
    fail_tool(s, 1, "not a regular file", "restore", "misc", "/dev/zero", NULL);
    /* None of them has written anything. */
    g_autofree char *kept = run_tool(s, "read", "misc", "0x28", "4", NULL);
    g_assert_nonnull(strstr(kept, "01 00 00 00"));

    g_free(run_tool(s, "dump", "misc", file, NULL));
    g_free(run_tool(s, "restore", "--force", "fb_manager", file, NULL));
    fail_tool(s, 1, "not a regular file", "dump", "misc", "/dev/null", NULL);
    fail_tool(s, 1, "No such file", "dump", "misc", "/nonexistent/dump", NULL);
}

static void test_bench_verb(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_free(run_tool(f->sandbox, "write", "misc", "0x28", "0x5eed", NULL));
    g_autofree char *text = run_tool(f->sandbox, "bench", "misc", "-t", "0.02", NULL);
    g_assert_nonnull(strstr(text, "handshakes"));
    g_autoptr(JsonNode) root =
        run_json(f->sandbox, "bench", "misc", "--seconds", "0.02", "--json", NULL);
    static const char *const parts[] = {"handshakes", "round_trips"};
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
        JsonObject *part = json_object_get_object_member(object_of(root), parts[i]);
        g_assert_cmpint(json_object_get_int_member(part, "count"), >, 0);
        g_assert_cmpfloat(json_object_get_double_member(part, "per_second"), >, 0);
    }
    g_assert_cmpfloat(json_object_get_double_member(object_of(root), "read_mib_per_second"), >, 0);
    g_assert_cmpfloat(json_object_get_double_member(object_of(root), "write_mib_per_second"), >, 0);
    g_autofree char *kept = run_tool(f->sandbox, "read", "misc", "0x28", "4", NULL);
    g_assert_nonnull(strstr(kept, "ed 5e 00 00"));
}

/* A guest that writes all over the window: verbs may fail, but they end, and by themselves. */
static void test_scribbling_guest(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *file = test_sandbox_path(sandbox, "dump");
    g_autoptr(TestProcess) launcher = test_serve_only(sandbox, NAME);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", NAME, "--scribble", NULL);
    test_vm_wait_ready(vm);
    const char *const rows[][6] = {
        {"list"},
        {"info", "misc"},
        {"read", "misc", "0"},
        {"write", "misc", "0x1000", "1"},
        {"signal", "misc", "0x1000"},
        {"wait", "misc", "-t", "0.01"},
        {"ping", "misc", "-c", "3", "--json"},
        {"dump", "misc", file},
        {"restore", "misc", file},
        {"bench", "misc", "-t", "0.01"},
    };
    for (guint round = 0; round < 5; round++) {
        for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
            g_autoptr(TestProcess) tool = start_tool(sandbox, rows[i][0], rows[i][1], rows[i][2],
                                                     rows[i][3], rows[i][4], NULL);
            g_assert_cmpint(test_process_wait_exit(tool), <=, 1);
        }
        /* Ends by the pipe that nobody reads, or because it does not believe the descriptor. */
        g_autoptr(TestProcess) watch =
            shell(sandbox, "exec 3>&1; { \"$1\" watch misc -i 0.001 2>/dev/null; echo $? >&3; } | "
                           "head -n 1 >/dev/null");
        g_autofree char *status = finish_tool(watch);
        g_assert_cmpstr(status, ==, "1\n");
    }
    test_process_signal(vm, SIGTERM);
    test_process_wait_end(vm);
    test_launcher_stop(launcher, SIGTERM);
    g_assert_true(g_unlink(file) == 0 || access(file, F_OK) < 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_unknown_region(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    static const char *const rows[][5] = {
        {"info", "sensor"},
        {"read", "sensor", "0"},
        {"write", "sensor", "40", "1"},
        {"signal", "sensor", "0x28"},
        {"ring", "sensor"},
        {"wait", "sensor"},
        {"ping", "sensor"},
        {"watch", "sensor"},
        {"bench", "sensor"},
        {"dump", "sensor", "/nonexistent/x"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        fail_tool(f->sandbox, 1,
                  "no region 'sensor'; did you mean 'sensors'? the instance has: hwcomposer, "
                  "sensors, misc, fb_manager, framebuffer",
                  rows[i][0], rows[i][1], rows[i][2], rows[i][3], NULL);
    fail_tool(f->sandbox, 1, "no region 'not a name'; the instance has: ", "info", "not a name",
              NULL);
    fail_tool(f->sandbox, 1, "no region ''", "ping", "", NULL);
    fail_tool(f->sandbox, 1, "no region 'sixteenletters..'", "read", "sixteenletters..", "0", NULL);
}

/* None of these needs an instance. */
static void test_usage(gconstpointer data)
{
    g_autoptr(TestSandbox) s = test_sandbox_new();
    fail_tool(s, 2, "a verb is missing", NULL);
    fail_tool(s, 2, "did you mean 'ping'", "pnig", NULL);
    fail_tool(s, 2, "no verb", "frobnicate", NULL);
    fail_tool(s, 2, "--nope", "--nope", "list", NULL);
    fail_tool(s, 2, "unexpected argument 'x'", "list", "x", NULL);
    fail_tool(s, 2, "info REGION", "info", NULL);
    fail_tool(s, 2, "read REGION OFFSET", "read", "misc", NULL);
    fail_tool(s, 2, "OFFSET 'x'", "read", "misc", "x", NULL);
    fail_tool(s, 2, "OFFSET '-1'", "read", "misc", "--", "-1", NULL);
    fail_tool(s, 2, "OFFSET '0x100000000'", "read", "misc", "0x100000000", NULL);
    fail_tool(s, 2, "COUNT '0'", "read", "misc", "0", "0", NULL);
    fail_tool(s, 2, "--raw and --json", "read", "misc", "0", "--raw", "--json", NULL);
    fail_tool(s, 2, "write what?", "write", "misc", "0", NULL);
    fail_tool(s, 2, "give no words", "write", "misc", "0", "1", "--raw", NULL);
    fail_tool(s, 2, "WORD '4294967296'", "write", "misc", "0", "4294967296", NULL);
    fail_tool(s, 2, "WORD '2a': expected a number from 0 to 4294967295, decimal or with 0x",
              "write", "misc", "0", "2a", NULL);
    fail_tool(s, 2, "OFFSET 'x'", "signal", "misc", "x", NULL);
    fail_tool(s, 2, "--timeout 'x'", "wait", "misc", "--timeout", "x", NULL);
    fail_tool(s, 2, "--count '0'", "ping", "misc", "-c", "0", NULL);
    fail_tool(s, 2, "--interval '-1'", "ping", "misc", "-i", "-1", NULL);
    fail_tool(s, 2, "--interval 'nan'", "watch", "misc", "--interval", "nan", NULL);
    fail_tool(s, 2, "dump REGION FILE", "dump", "misc", NULL);
    fail_tool(s, 2, "restore REGION FILE", "restore", "misc", NULL);
    fail_tool(s, 2, "--seconds '61'", "bench", "misc", "--seconds", "61", NULL);
    fail_tool(s, 2, "give one", "list", "--name", "a", "--socket", "b", NULL);
    fail_tool(s, 2, "give one", "--name", "a", "list", "--socket", "b", NULL);
    test_sandbox_assert_clean(s, TEST_NOTHING_LEFT);
}

static void test_help(gconstpointer data)
{
    static const char *const verbs[] = {"list", "info", "read",  "write", "signal",  "ring",
                                        "wait", "ping", "watch", "dump",  "restore", "bench"};
    g_autoptr(TestSandbox) s = test_sandbox_new();
    g_autofree char *all = run_tool(s, "--help", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_autofree char *line = g_strdup_printf("\n  %s ", verbs[i]);
        g_autofree char *usage = g_strdup_printf("cvd-client %s", verbs[i]);
        g_autofree char *help = run_tool(s, verbs[i], "--help", NULL);
        g_assert_nonnull(strstr(all, line));
        g_assert_nonnull(strstr(help, usage));
    }
    g_autofree char *version = run_tool(s, "--version", NULL);
    g_assert_true(g_str_has_prefix(version, "cvd-client "));
}

static void test_no_instance(gconstpointer data)
{
    g_autoptr(TestSandbox) s = test_sandbox_new();
    g_autofree char *socket = test_sandbox_path(s, "none");
    fail_tool(s, 1, "cvd-launch", "list", NULL);
    fail_tool(s, 1, "nobody", "list", "--name", "nobody", NULL);
    fail_tool(s, 1, socket, "list", "--socket", socket, NULL);
    fail_tool(s, 1, socket, "ping", "misc", "--socket", socket, NULL);
    test_sandbox_assert_clean(s, TEST_NOTHING_LEFT);
}

static void test_two_instances(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) other = test_serve_only(f->sandbox, "other");
    fail_tool(f->sandbox, 1, "other", "list", NULL);
    fail_tool(f->sandbox, 1, NAME, "list", NULL);
    fail_tool(f->sandbox, 1, "--name", "list", NULL);
    g_free(run_tool(f->sandbox, "list", "--name", NAME, NULL));
    g_free(run_tool(f->sandbox, "-n", "other", "list", NULL));
    test_launcher_stop(other, SIGTERM);
    g_free(run_tool(f->sandbox, "list", NULL));
}

/* Whoever reads no further ends the program, without a word. */
static void test_closed_pipe(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    static const char *const scripts[] = {
        "exec 3>&1; { \"$1\" read framebuffer 0 --raw; echo $? >&3; } | head -c 1 >/dev/null",
        "exec 3>&1; { \"$1\" ping misc -i 0.001; echo $? >&3; } | head -n 2 >/dev/null",
        "exec 3>&1; { \"$1\" watch misc -i 0.001; echo $? >&3; } | head -n 0 >/dev/null",
    };
    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
        g_autoptr(TestProcess) tool = shell(f->sandbox, scripts[i]);
        g_autofree char *text = finish_tool(tool);
        g_assert_cmpstr(text, ==, "1\n");
    }
    g_autoptr(TestProcess) closed = shell(f->sandbox, "exec \"$1\" list >&-");
    test_launcher_assert_exit(closed, 1);
    test_launcher_assert_err(closed, "cannot write to stdout");
    g_autoptr(TestProcess) full = shell(f->sandbox, "exec \"$1\" list >/dev/full");
    test_launcher_assert_exit(full, 1);
    test_launcher_assert_err(full, "No space left");
}

#define MANY 2048

/* As many as there can be, with the versions that each has. */
static void test_many_regions(gconstpointer data)
{
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    if (limit.rlim_max < 2 * MANY + 64) {
        test_skip("RLIMIT_NOFILE is too low for so many regions");
        return;
    }
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *layout = test_write_layout(sandbox, MANY);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "many", "--serve-only", "--set", layout, NULL);
    test_process_wait_err(launcher, ": serving without a VM", 1);
    g_autoptr(JsonNode) root = run_json(sandbox, "list", "--json", NULL);
    JsonArray *regions = json_object_get_array_member(object_of(root), "regions");
    g_assert_cmpuint(json_array_get_length(regions), ==, MANY);
    for (guint i = 0; i < MANY; i++) {
        JsonObject *region = json_array_get_object_element(regions, i);
        g_assert_cmpint(json_object_get_int_member(region, "current_version"), ==, i);
    }
    fail_tool(sandbox, 1, "and 2032 more", "info", "nothing", NULL);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void mount_small_shm(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k,mode=1777") < 0)
        _exit(124);
}

/* A window in a /dev/shm that has no room for all of it: an error, and never a SIGBUS. */
static void test_full_shm(gconstpointer data)
{
    static const char *const arguments[] = {"--serve-only",
                                            "--set",
                                            "window.backing=posix-shm",
                                            "--set",
                                            "window.path=/dev/shm/window",
                                            "--set",
                                            "window.prealloc=false",
                                            NULL};
    g_autoptr(TestSandbox) s = test_sandbox_new();
    g_autofree char *file = test_sandbox_path(s, "dump");
    g_autoptr(TestProcess) launcher = test_launch_with(s, NAME, arguments, mount_small_shm, NULL);
    test_process_wait_err(launcher, ": serving without a VM", 1);
    g_free(run_tool(s, "dump", "framebuffer", file, NULL));
    fail_tool(s, 1, "No space left", "restore", "framebuffer", file, NULL);
    /* As far as it goes. */
    g_autoptr(TestProcess) fill =
        shell(s, "i=4096; while \"$1\" write framebuffer $i 1 2>/dev/null; "
                 "do i=$((i + 4096)); done; test $i -gt 4096");
    g_free(finish_tool(fill));
    fail_tool(s, 1, "No space left", "write", "framebuffer", "0x100000", "1", NULL);
    fail_tool(s, 1, "No space left", "ping", "framebuffer", NULL);
    fail_tool(s, 1, "No space left", "bench", "framebuffer", NULL);
    fail_tool(s, 1, "No space left", "wait", "misc", NULL); /* its signal tables */
    g_autofree char *there = run_tool(s, "read", "framebuffer", "4096", "4", "--raw", NULL);
    g_assert_cmpstr(there, ==, "\001");
    g_free(run_tool(s, "dump", "framebuffer", file, NULL));
    test_launcher_stop(launcher, SIGTERM);
    g_unlink(file);
    test_sandbox_assert_clean(s, TEST_NOTHING_LEFT);
}

/* The real thing: right after the start, while the guest may still be booting. */
static void test_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "qemu", NULL);
    test_launcher_wait_running(launcher);
    g_autofree char *text = run_tool(sandbox, "ping", "sensors", "-c", "20", NULL);
    assert_summary(text, "20");
    g_free(run_tool(sandbox, "list", NULL));
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/client-tool/list", NULL, test_list);
    test_add("/client-tool/info", NULL, test_info);
    test_add("/client-tool/spoilt-descriptors", NULL, test_spoilt_descriptors);
    test_add("/client-tool/looking-is-not-touching", NULL, test_looking_is_not_touching);
    test_add("/client-tool/read-and-write", NULL, test_read_and_write);
    test_add("/client-tool/raw", NULL, test_raw);
    test_add("/client-tool/bounds", NULL, test_bounds);
    test_add("/client-tool/signal-and-wait", NULL, test_signal_and_wait);
    test_add("/client-tool/wait-for-an-interrupt", NULL, test_wait_for_an_interrupt);
    test_add("/client-tool/wait-for-nothing", NULL, test_wait_for_nothing);
    test_add("/client-tool/table-full", NULL, test_table_full);
    test_add("/client-tool/ping", NULL, test_ping_verb);
    test_add("/client-tool/ping-after-signals", NULL, test_ping_after_signals);
    test_add("/client-tool/ping-restores", NULL, test_ping_restores);
    test_add("/client-tool/ping-until-interrupted", NULL, test_ping_until_interrupted);
    test_add("/client-tool/ping-a-mute-guest", NULL, test_ping_a_mute_guest);
    test_add("/client-tool/ping-before-the-guest", NULL, test_ping_before_the_guest);
    test_add("/client-tool/server-stops", NULL, test_server_stops);
    test_add("/client-tool/watch", NULL, test_watch);
    static const Screen screens[] = {
        {24, 80, "  slot     0: 0x00000030"},
        {24, 40, "  slot     0: 0x00000030"},
        {4, 40, "host to guest: word 1, 1 of 4 slots"}, /* without room for a slot */
    };
    test_add("/client-tool/watch-on-a-terminal", &screens[0], test_watch_on_a_terminal);
    test_add("/client-tool/watch-on-a-narrow-terminal", &screens[1], test_watch_on_a_terminal);
    test_add("/client-tool/watch-on-a-low-terminal", &screens[2], test_watch_on_a_terminal);
    test_add("/client-tool/progress-on-a-terminal", &progress[0], test_progress_on_a_terminal);
    test_add("/client-tool/bench-on-a-terminal", &progress[1], test_progress_on_a_terminal);
    test_add("/client-tool/interrupted-write", NULL, test_interrupted_write);
    test_add("/client-tool/write-from-a-terminal", NULL, test_write_from_a_terminal);
    test_add("/client-tool/dump-and-restore", NULL, test_dump_and_restore);
    test_add("/client-tool/restore-refuses", NULL, test_restore_refuses);
    test_add("/client-tool/bench", NULL, test_bench_verb);
    test_add("/client-tool/scribbling-guest", NULL, test_scribbling_guest);
    test_add("/client-tool/unknown-region", NULL, test_unknown_region);
    test_add("/client-tool/usage", NULL, test_usage);
    test_add("/client-tool/help", NULL, test_help);
    test_add("/client-tool/no-instance", NULL, test_no_instance);
    test_add("/client-tool/two-instances", NULL, test_two_instances);
    test_add("/client-tool/closed-pipe", NULL, test_closed_pipe);
    test_add("/client-tool/many-regions", NULL, test_many_regions);
    test_add_unless("/client-tool/full-shm", NULL, test_full_shm, test_why_no_mount);
    test_add_unless("/client-tool/qemu", NULL, test_qemu, test_why_no_guest);
    return g_test_run();
}
