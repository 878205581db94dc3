/* SPDX-License-Identifier: Apache-2.0 */
/* A launch with --trace: what was rung is on record, whatever became of the disk and the launcher.
 */
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"
#include "tests/support/witness.h"

#include "base/fd.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME    "trace"
#define N_RINGS 1000
#define N_FLOOD 200000

/* docs/cvd-client.1, Traces: of five regions, and of each ring. */
#define HEADER_SIZE 128
#define RECORD_SIZE 32

/* Of conf/vsoc_mem.json. */
#define FIRST     "hwcomposer"
#define SECOND    "sensors"
#define N_REGIONS 5

typedef struct {
    TestInstance *instance;
    char *path;
} Fixture;

static Fixture *fixture_new(void)
{
    Fixture *f = g_new0(Fixture, 1);

    f->instance = test_instance_new(NAME);
    f->path = test_sandbox_path(f->instance->sandbox, "doorbells.trace");
    return f;
}

static Fixture *fixture_boot(TestProcessSetup setup, gconstpointer data)
{
    Fixture *f = fixture_new();
    const char *args[] = {"--trace", f->path, NULL};

    f->instance->launcher = test_launch_with(f->instance->sandbox, NAME, args, setup, data);
    test_instance_wait_guest(f->instance, 1);
    return f;
}

static void fixture_free(Fixture *f)
{
    test_instance_free(f->instance);
    g_free(f->path);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static TestProcess *start_tool(Fixture *f, const char *path, const char *option)
{
    const char *argv[] = {g_getenv("CVD_CLIENT"), "trace", path, option, NULL};

    g_assert_nonnull(argv[0]);
    return test_process_start(f->instance->sandbox, argv, NULL, NULL);
}

static JsonObject *read_trace(Fixture *f, const char *path)
{
    g_autoptr(TestProcess) tool = start_tool(f, path, "--json");
    g_autoptr(GError) error = NULL;

    test_launcher_assert_exit(tool, 0);
    g_assert_cmpstr(tool->err->str, ==, "");
    g_autoptr(JsonNode) node = json_from_string(tool->out->str, &error);
    g_assert_no_error(error);
    return json_object_ref(json_node_get_object(node));
}

static void assert_unreadable(Fixture *f, const char *path, const char *words)
{
    g_autoptr(TestProcess) tool = start_tool(f, path, NULL);

    test_launcher_assert_exit(tool, 1);
    g_assert_cmpstr(tool->out->str, ==, "");
    test_launcher_assert_err(tool, words);
    test_launcher_assert_err(tool, path);
}

/* Returns: of a region that was rung */
static gint64 get(JsonObject *trace, const char *region, const char *direction, const char *what)
{
    JsonArray *regions = json_object_get_array_member(trace, "regions");

    for (guint i = 0; i < json_array_get_length(regions); i++) {
        JsonObject *one = json_array_get_object_element(regions, i);
        if (strcmp(json_object_get_string_member(one, "device_name"), region) == 0)
            return json_object_get_int_member(json_object_get_object_member(one, direction), what);
    }
    return 0;
}

/* To and fro, @n times: each side takes the other's ring before it rings itself. */
static void echo(Fixture *f, const char *name, guint n)
{
    g_autoptr(TestRegion) region = test_region_attach(f->instance->client_socket, name);

    for (guint i = 0; i < n; i++)
        test_region_echo(region);
}

static void assert_rings(JsonObject *trace, const char *region, gint64 n)
{
    g_assert_cmpint(get(trace, region, "to_guest", "rings"), ==, n);
    g_assert_cmpint(get(trace, region, "to_host", "rings"), ==, n);
}

static GDBusConnection *connect_control(Fixture *f)
{
    g_autofree char *socket =
        test_sandbox_instance_path(f->instance->sandbox, NAME, "control.sock");
    g_autofree char *address = g_strconcat("unix:path=", socket, NULL);
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &error);

    g_assert_no_error(error);
    return connection;
}

static GVariant *call_control(GDBusConnection *connection, const char *method)
{
    g_autoptr(GError) error = NULL;
    GVariant *result =
        g_dbus_connection_call_sync(connection, NULL, "/org/cvd/Instance1", "org.cvd.Instance1",
                                    method, NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);

    g_assert_no_error(error);
    return result;
}

/* Rings are passed on, and recorded a moment later: waits until there are so many records. */
static void wait_records(Fixture *f, guint n)
{
    cvd_autofd watch = inotify_init1(IN_CLOEXEC);
    char events[4096];
    GStatBuf status;

    g_assert_cmpint(inotify_add_watch(watch, f->path, IN_MODIFY), >=, 0);
    while (g_stat(f->path, &status) == 0 && status.st_size < HEADER_SIZE + n * RECORD_SIZE) {
        test_wait_readable(watch, "the trace");
        g_assert_cmpint(read(watch, events, sizeof events), >, 0);
    }
}

/* Also while it is written. */
static void test_counts(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);

    echo(f, FIRST, N_RINGS);
    wait_records(f, 2 * N_RINGS);
    g_autoptr(JsonObject) live = read_trace(f, f->path);
    assert_rings(live, FIRST, N_RINGS);
    g_assert_cmpint(get(live, FIRST, "to_guest", "answered"), ==, N_RINGS);
    g_assert_cmpint(get(live, FIRST, "to_host", "answered"), ==, N_RINGS - 1);
    assert_rings(live, SECOND, 0);

    echo(f, SECOND, 7);
    test_instance_stop(f->instance, SIGINT);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    assert_rings(trace, FIRST, N_RINGS);
    assert_rings(trace, SECOND, 7);
    g_assert_cmpint(json_object_get_int_member(trace, "lost"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(trace, "cleared"), ==, 0);
    g_assert_false(test_process_has_err(f->instance->launcher, "warning"));
}

static void test_picture(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autofree char *path = test_sandbox_path(f->instance->sandbox, "doorbells.svg");
    g_autofree char *option = g_strconcat("--svg=", path, NULL);
    g_autofree char *svg = NULL;

    echo(f, SECOND, 3);
    wait_records(f, 6);
    g_autoptr(TestProcess) tool = start_tool(f, f->path, option);
    test_launcher_assert_exit(tool, 0);
    g_assert_nonnull(strstr(tool->out->str, SECOND));
    g_assert_true(g_file_get_contents(path, &svg, NULL, NULL));
    g_assert_true(g_str_has_prefix(svg, "<svg "));
    g_assert_nonnull(strstr(svg, ">" SECOND "<"));
    test_instance_stop(f->instance, SIGINT);
}

static void assert_listed(GDBusConnection *connection, const char *expected)
{
    g_autoptr(GVariant) reply = call_control(connection, "ListRegions");
    g_autofree char *text = g_variant_print(reply, FALSE);

    g_assert_cmpstr(text, ==, expected);
}

static void test_interface(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autoptr(GDBusConnection) connection = connect_control(f);

    echo(f, FIRST, 5);
    g_autoptr(TestRegion) one = test_region_attach(f->instance->client_socket, SECOND);
    G_GNUC_UNUSED g_autoptr(TestRegion) two =
        test_region_attach(f->instance->client_socket, SECOND);
    test_region_echo(one);
    assert_listed(connection,
                  "(true, [('hwcomposer', 0, 5, 5), ('sensors', 2, 1, 1), ('misc', 0, 0, 0),"
                  " ('fb_manager', 0, 0, 0), ('framebuffer', 0, 0, 0)])");
    g_clear_object(&connection);
    test_instance_stop(f->instance, SIGINT);
}

static void test_interface_without_a_trace(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_new();

    f->instance->launcher = test_serve_only(f->instance->sandbox, NAME);
    g_autoptr(GDBusConnection) connection = connect_control(f);
    assert_listed(connection,
                  "(false, [('hwcomposer', 0, 0, 0), ('sensors', 0, 0, 0), ('misc', 0, 0, 0),"
                  " ('fb_manager', 0, 0, 0), ('framebuffer', 0, 0, 0)])");
    test_launcher_stop(f->instance->launcher, SIGINT);
}

/* Those of both guests, and no answer of the one to the other. */
static void test_restart(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autoptr(GDBusConnection) connection = connect_control(f);

    echo(f, FIRST, 10);
    G_GNUC_UNUSED g_autoptr(GVariant) reply = call_control(connection, "Restart");
    test_instance_wait_guest(f->instance, 2);
    echo(f, FIRST, 20);
    g_clear_object(&connection);
    test_instance_stop(f->instance, SIGINT);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    assert_rings(trace, FIRST, 30);
    g_assert_cmpint(get(trace, FIRST, "to_guest", "answered"), ==, 30);
    g_assert_cmpint(get(trace, FIRST, "to_host", "answered"), ==, 9 + 19);
    g_assert_cmpint(json_object_get_int_member(trace, "cleared"), ==, 1);
}

static void test_reset(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autoptr(GDBusConnection) connection = connect_control(f);

    echo(f, FIRST, 10);
    G_GNUC_UNUSED g_autoptr(GVariant) reply = call_control(connection, "Reset");
    test_launcher_wait_guest(f->instance->sandbox, NAME, 2);
    echo(f, FIRST, 20);
    g_clear_object(&connection);
    test_instance_stop(f->instance, SIGINT);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    assert_rings(trace, FIRST, 30);
    g_assert_cmpint(json_object_get_int_member(trace, "cleared"), >=, 1);
}

static void ring_on_and_on(const Fixture *f)
{
    g_autoptr(TestRegion) region = test_region_attach(f->instance->client_socket, FIRST);

    for (guint i = 0; i < N_FLOOD; i++)
        test_region_ring(region);
}

/* Somebody rings as fast as it can, and the guest rings back: others are served meanwhile, and each
 * ring is counted. */
static void test_flood(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autofree char *counted = g_strdup_printf("('" FIRST "', 0, %d, ", N_FLOOD);
    int status;

    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        ring_on_and_on(f);
        _exit(0);
    }
    for (guint i = 0; i < 20; i++) {
        g_autoptr(GDBusConnection) connection = connect_control(f);
        g_variant_unref(call_control(connection, "ListRegions"));
        test_ping(f->instance->client_socket, SECOND);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    echo(f, SECOND, 1); /* by then the relay has had its turn */
    g_autoptr(GDBusConnection) connection = connect_control(f);
    g_autoptr(GVariant) reply = call_control(connection, "ListRegions");
    g_autofree char *text = g_variant_print(reply, FALSE);
    if (strstr(text, counted) == NULL)
        test_process_fail(f->instance->launcher, "%s is not in %s", counted, text);
    g_clear_object(&connection);
    test_instance_stop(f->instance, SIGINT);
}

static void test_killed(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);

    echo(f, FIRST, N_RINGS);
    wait_records(f, 2 * N_RINGS);
    test_process_signal(f->instance->launcher, SIGKILL);
    test_process_wait_end(f->instance->launcher);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    assert_rings(trace, FIRST, N_RINGS);
}

/* ---- A disk that is full ---- */

static void mount_small(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", data, "tmpfs", 0, "size=16k,mode=0700") < 0)
        _exit(124);
}

/* 16 KiB have room for less than 512 records. The file is the launcher's alone to see. */
static void test_full_disk(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_new();
    TestSandbox *sandbox = f->instance->sandbox;
    g_autofree char *dir = test_sandbox_path(sandbox, "small");
    g_autofree char *path = g_build_filename(dir, "trace", NULL);
    const char *args[] = {"--trace", path, NULL};

    g_assert_no_errno(g_mkdir(dir, 0700));
    f->instance->launcher = test_launch_with(sandbox, NAME, args, mount_small, dir);
    test_instance_wait_guest(f->instance, 1);
    echo(f, FIRST, N_RINGS);
    test_process_wait_err(f->instance->launcher, "rings are not recorded: No space left", 1);
    g_autofree char *seen =
        g_strdup_printf("/proc/%d/root%s", (int)f->instance->launcher->pid, path);
    g_autoptr(JsonObject) trace = read_trace(f, seen);
    g_assert_cmpint(get(trace, FIRST, "to_guest", "rings"), >, 200);
    g_assert_cmpint(get(trace, FIRST, "to_guest", "rings"), <, 256);

    g_autoptr(GDBusConnection) connection = connect_control(f);
    g_autoptr(GVariant) reply = call_control(connection, "ListRegions");
    g_autofree char *text = g_variant_print(reply, FALSE);
    g_assert_nonnull(strstr(text, "('" FIRST "', 0, 1000, 1000)")); /* counted all the same */
    g_clear_object(&connection);
    test_instance_stop(f->instance, SIGINT);
}

/* ---- What it takes ---- */

static guint count_fds_of(const char *option, const char *path)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    const char *args[] = {option, path, NULL};

    f->launcher = test_launch_with(f->sandbox, NAME, args, NULL, NULL);
    test_instance_wait_guest(f, 1);
    guint n = test_count_fds(f->launcher);
    test_instance_stop(f, SIGINT);
    return n;
}

/* Twice the doorbells, and the epoll set, /dev/null and the file; without, none of them. */
static void test_descriptors(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_new();
    guint n_off = count_fds_of(NULL, NULL);
    guint n_on = count_fds_of("--trace", f->path);

    g_assert_cmpuint(n_on, ==, n_off + 2 * N_REGIONS + 3);
}

static void test_many_regions(gconstpointer data)
{
    enum {
        N = 1024
    };
    g_autoptr(Fixture) f = fixture_new();
    TestSandbox *sandbox = f->instance->sandbox;
    g_autofree char *layout = test_write_layout(sandbox, N);
    const char *args[] = {"--serve-only", "--set", layout, "--trace", f->path, NULL};

    if (test_skip_without_fds(2 * N))
        return;
    f->instance->launcher = test_launch_with(sandbox, NAME, args, NULL, NULL);
    test_process_wait_err(f->instance->launcher, "serving without a VM", 1);
    g_autoptr(TestProcess) vm = test_vm_start(sandbox, "--name", NAME, NULL);
    test_vm_wait_ready(vm);
    for (guint i = 0; i < N; i += 93) {
        g_autofree char *name = g_strdup_printf("region%u", i);
        echo(f, name, 3);
    }
    test_process_signal(f->instance->launcher, SIGINT);
    test_launcher_assert_exit(f->instance->launcher, 0);
    test_process_wait_end(vm);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    for (guint i = 0; i < N; i += 93) {
        g_autofree char *name = g_strdup_printf("region%u", i);
        assert_rings(trace, name, 3);
    }
    assert_rings(trace, "region1", 0);
}

/* ---- Bad input ---- */

static void assert_no_start(Fixture *f, const char *path, const char *words)
{
    const char *args[] = {"--trace", path, NULL};
    g_autoptr(TestProcess) launcher =
        test_launch_with(f->instance->sandbox, NAME, args, NULL, NULL);

    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, words);
    test_launcher_assert_err(launcher, path);
    g_assert_false(test_process_has_err(launcher, "running"));
}

static void test_bad_files(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_new();
    TestSandbox *sandbox = f->instance->sandbox;
    g_autofree char *config = test_sandbox_write(sandbox, "mine.json", "{\"name\": \"mine\"}");
    g_autofree char *fifo = test_sandbox_path(sandbox, "fifo");
    g_autofree char *nowhere = test_sandbox_path(sandbox, "no/such");
    g_autofree char *now = NULL;

    assert_no_start(f, config, "is there already, and is no trace");
    g_assert_true(g_file_get_contents(config, &now, NULL, NULL));
    g_assert_cmpstr(now, ==, "{\"name\": \"mine\"}");
    g_assert_no_errno(mkfifo(fifo, 0600));
    assert_no_start(f, fifo, "is not a regular file");
    assert_no_start(f, nowhere, "No such file or directory");
    assert_no_start(f, sandbox->dir, "Is a directory");
}

static void test_two_launches(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    const char *args[] = {"--trace", f->path, NULL};
    g_autoptr(TestProcess) second =
        test_launch_with(f->instance->sandbox, "second", args, NULL, NULL);

    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, "another launch writes it");
    echo(f, FIRST, 2);
    wait_records(f, 4);
    g_autoptr(JsonObject) trace = read_trace(f, f->path);
    assert_rings(trace, FIRST, 2);
    test_process_signal(f->instance->launcher, SIGINT);
    test_launcher_assert_exit(f->instance->launcher, 0);
}

static void overwrite(const char *path, goffset offset, const void *bytes, gsize size)
{
    cvd_autofd fd = open(path, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(pwrite(fd, bytes, size, offset), ==, (gssize)size);
}

/* Everything else that a file can be is a row of unit/trace-reader and unit/trace-format. */
static void test_bad_traces(gconstpointer data)
{
    g_autoptr(Fixture) f = fixture_boot(NULL, NULL);
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autofree char *original = NULL;
    gsize size;

    echo(f, FIRST, 2);
    test_instance_stop(f->instance, SIGINT);
    g_assert_true(g_file_get_contents(f->path, &original, &size, NULL));
    overwrite(f->path, (goffset)size - 9, "x", 1);
    assert_unreadable(f, f->path, "is damaged");
    overwrite(f->path, 8, "\2", 1);
    assert_unreadable(f, f->path, "has format 2; this program reads format 1");
    g_assert_no_errno(truncate(f->path, 100));
    overwrite(f->path, 8, "\1", 1);
    assert_unreadable(f, f->path, "cut off");
    assert_unreadable(f, config, "not a trace of doorbells");
    assert_unreadable(f, "/nonexistent/trace", "No such file");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_unless("/trace/counts-agree", NULL, test_counts, test_why_no_guest);
    test_add_unless("/trace/picture", NULL, test_picture, test_why_no_guest);
    test_add_unless("/trace/interface", NULL, test_interface, test_why_no_guest);
    test_add("/trace/interface-without-a-trace", NULL, test_interface_without_a_trace);
    test_add_unless("/trace/restart", NULL, test_restart, test_why_no_guest);
    test_add_unless("/trace/reset", NULL, test_reset, test_why_no_guest);
    test_add_unless("/trace/flood", NULL, test_flood, test_why_no_guest);
    test_add_unless("/trace/killed", NULL, test_killed, test_why_no_guest);
    test_add_unless("/trace/full-disk", NULL, test_full_disk, test_why_no_mount);
    test_add_unless("/trace/descriptors", NULL, test_descriptors, test_why_no_guest);
    test_add("/trace/1024-regions", NULL, test_many_regions);
    test_add("/trace/bad-files", NULL, test_bad_files);
    test_add_unless("/trace/two-launches", NULL, test_two_launches, test_why_no_guest);
    test_add_unless("/trace/bad-traces", NULL, test_bad_traces, test_why_no_guest);
    return g_test_run();
}
