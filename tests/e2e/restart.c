/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another VM in place of one that failed: what host programs see of it, what the next guest finds,
 * and when it is enough.
 */
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define NAME     "again"
#define NO_WAIT  "lifecycle.restart_delay_ms=0"
#define RESTARTS "--set", "lifecycle.on_crash=restart", "--set", NO_WAIT

static void kill_qemu(TestInstance *f)
{
    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGKILL));
}

static void assert_zero(TestRegion *region)
{
    for (guint32 at = region->data_offset; at < region->end - region->begin; at += 4)
        g_assert_cmpuint(*test_region_word(region, at), ==, 0);
}

/* The old guest's leftovers: data, a word that says "rung already", a doorbell that nobody heard.
 */
static void test_crash(gconstpointer data)
{
    const char *args[] = {RESTARTS, NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);
    g_autoptr(GPtrArray) names = test_list_regions(f->client_socket);
    const char *name = g_ptr_array_index(names, 0);
    g_autoptr(TestRegion) before = test_region_attach(f->client_socket, name);
    struct stat old_window, new_window;

    test_region_ping(before, before->data_offset, 1);
    *test_region_word(before, before->data_offset + 64) = 4711;
    *test_region_word(before, before->in.word) = 1;
    test_region_ring(before);
    kill_qemu(f);
    test_region_wait_closed(before);
    test_process_wait_err(f->launcher, "was killed by signal 9\n" NAME ": what to do: if it was",
                          1);
    test_instance_wait_guest(f, 2);
    test_launcher_assert_err(f->launcher, "killed by signal 9");
    test_launcher_assert_err(f->launcher, "failure 1 of 5");

    g_autoptr(TestRegion) after = test_region_attach(f->client_socket, name);
    assert_zero(after);
    g_assert_false(test_region_is_rung(after));
    test_region_ping(after, after->data_offset, 2);
    test_region_echo(after);
    /* It is the same window, and who kept it has it still. */
    g_assert_no_errno(fstat(before->window, &old_window));
    g_assert_no_errno(fstat(after->window, &new_window));
    g_assert_cmpuint(old_window.st_ino, ==, new_window.st_ino);
    test_instance_stop(f, SIGINT);
}

/* What QEMU said is told with its own failure, and not again with that of the next one. */
static void test_output_of_each_vm(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *binary = test_sandbox_write_script(
        f->sandbox, "qemu", "#!/bin/sh\necho a hint >&2\nexec qemu-system-x86_64 \"$@\"\n");
    g_autofree char *argument = g_strconcat("qemu.binary=", binary, NULL);
    const char *args[] = {"--set", argument, RESTARTS, NULL};

    f->launcher = test_launch_with(f->sandbox, NAME, args, NULL, NULL);
    for (guint n = 1; n <= 2; n++) {
        test_instance_wait_guest(f, n);
        kill_qemu(f);
    }
    test_instance_wait_guest(f, 3);
    g_auto(GStrv) parts = g_strsplit(f->launcher->err->str, "QEMU: a hint", -1);
    g_assert_cmpuint(g_strv_length(parts), ==, 3);
    test_instance_stop(f, SIGINT);
}

static void test_again_and_again(gconstpointer data)
{
    const char *args[] = {RESTARTS, NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);
    g_autoptr(GPtrArray) names = test_list_regions(f->client_socket);

    for (guint i = 0; i < 4; i++) {
        g_autoptr(TestRegion) region =
            test_region_attach(f->client_socket, g_ptr_array_index(names, i % names->len));
        kill_qemu(f);
        test_region_wait_closed(region);
        test_instance_wait_guest(f, 2 + i);
        test_ping(f->client_socket, g_ptr_array_index(names, i % names->len));
    }
    test_instance_stop(f, SIGINT);
}

static void test_gives_up(gconstpointer data)
{
    const char *args[] = {RESTARTS, "--set", "lifecycle.restart_limit=2", NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);

    for (guint i = 1; i <= 3; i++) {
        test_process_wait_err(f->launcher, ": running after ", i);
        kill_qemu(f);
    }
    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, "3 failures within 10 minutes");
}

static void test_first_crash_ends_it(gconstpointer data)
{
    const char *args[] = {NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);

    kill_qemu(f);
    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, "killed by signal 9");
    g_assert_false(test_process_has_err(f->launcher, "restarting"));
}

/* What the guest does itself, with as many starts of QEMU as that allows. */
typedef struct {
    const char *name;
    const char *args[12];
    guint n_starts;
    const char *words[3]; /* of stderr */
} End;

static const End ends[] = {
    {"panic",
     {"--set", "qemu.append=panic", "--set", "lifecycle.on_panic=restart", "--set",
      "lifecycle.restart_limit=2", "--set", NO_WAIT},
     3,
     {"failure 2 of 2", "guest panicked; given up"}},
    {"panic-ends-it",
     {"--set", "qemu.append=panic", "--set", "lifecycle.on_crash=restart"},
     1,
     {"guest panicked"}},
    /* The built-in guest starts the watchdog, whatever its time, with one second. */
    {"watchdog",
     {"--set", "qemu.append=hang", "--set", "qemu.watchdog_s=5", "--set",
      "lifecycle.on_panic=restart", "--set", "lifecycle.restart_limit=1", "--set", NO_WAIT},
     2,
     {"the guest's watchdog ran out"}},
    /* A guest that reboots at once would do so for ever. */
    {"reboot",
     {"--set", "lifecycle.on_reboot=restart", "--set", "lifecycle.restart_limit=2", "--set",
      "qemu.append=reboot", "--set", NO_WAIT},
     3,
     {"guest rebooted; restarting in 0", "guest rebooted; given up, as that makes 3 failures"}},
};

static void test_end(gconstpointer data)
{
    const End *end = data;
    g_autoptr(TestInstance) f = test_instance_start(NAME, end->args);

    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_process_wait_err(f->launcher, ": running after ", end->n_starts);
    for (guint i = 0; end->words[i] != NULL; i++)
        test_launcher_assert_err(f->launcher, end->words[i]);
    if (end->n_starts == 1)
        g_assert_false(test_process_has_err(f->launcher, "restarting"));
}

/* ---- What a real QEMU does not say here: tests/support/qmp-filter.py ---- */

typedef struct {
    const char *title;
    const char *edits[5]; /* pattern and replacement in turn, of what QEMU says over QMP */
    const char *append;   /* what the guest does; NULL = somebody stops it over QMP */
    const char *words;    /* how that ends a VM */
    guint n_starts;       /* complete ones: the second VM is the last */
} Said;

/* A long one with numbers beyond 64 bits of sign and more levels than the launcher's parser takes,
 * as the parameters of a Windows blue screen are. */
#define PANIC_INFO                                                                                 \
    "'{\"info\": {\"type\": \"hyper-v\", \"arg1\": 18446744073709551615, \"arg2\": "               \
    "9223372036854775808, "                                                                        \
    "\"arg3\": 1e999, \"deep\": ' + 80 * '[' + '{\"x\": {}}' + 80 * ']' + '}, '"

/* Only the event itself tells of the panic: nothing else is left that could. */
static const Said said[] = {
    {"panic-with-large-numbers",
     {"(?<=GUEST_PANICKED\", \"data\": )\\{", PANIC_INFO, "\"SHUTDOWN\"", "'\"ANOTHER\"'"},
     "panic",
     "guest panicked; given up, as that makes 2 failures",
     2},
    {"internal-error",
     {"\"status\": \"paused\"", "'\"status\": \"internal-error\"'"},
     NULL,
     "met an internal error and stopped the guest; given up, as that makes 2 failures",
     2},
    /* As KVM does that cannot execute the first instruction: never restarted, as it never ran. */
    {"internal-error-at-once",
     {"(?s).*\"RESUME\".*", "m[0] + m[0].replace('RESUME', 'STOP')", "\"status\": \"running\"",
      "'\"status\": \"internal-error\"'"},
     "ignored",
     "met an internal error and stopped the guest",
     0},
};

static char *write_filter(const TestSandbox *sandbox, const char *const *edits)
{
    g_autofree char *filter = test_source_path("tests/support/qmp-filter.py");
    g_autoptr(GString) script = g_string_new("#!/bin/sh\nexec /usr/bin/python3 ");

    g_string_append(script, filter);
    for (; *edits != NULL; edits++) {
        g_autofree char *quoted = g_shell_quote(*edits);
        g_string_append_printf(script, " %s", quoted);
    }
    g_string_append(script, " -- \"$@\"\n");
    g_autofree char *path = test_sandbox_write_script(sandbox, "qemu", script->str);
    return g_strconcat("qemu.binary=", path, NULL);
}

static void test_said(gconstpointer data)
{
    const Said *test = data;
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *binary = write_filter(f->sandbox, test->edits);
    g_autofree char *monitor_argument = test_monitor_argument(f->sandbox);
    g_autofree char *append = g_strconcat("qemu.append=", test->append, NULL);
    const char *args[] = {"--set", binary,
                          "--set", monitor_argument,
                          "--set", append,
                          "--set", "lifecycle.on_crash=restart",
                          "--set", "lifecycle.on_panic=restart",
                          "--set", "lifecycle.restart_limit=1",
                          "--set", NO_WAIT,
                          NULL};

    f->launcher = test_launch_with(f->sandbox, NAME, args, NULL, NULL);
    for (guint n = 1; n <= test->n_starts; n++) {
        test_process_wait_err(f->launcher, ": running after ", n);
        if (test->append != NULL)
            continue;
        g_autoptr(TestMonitor) monitor = test_monitor_connect(f->sandbox);
        g_free(test_monitor_execute(monitor, "stop"));
    }
    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, test->words);
    if (test->n_starts == 0)
        g_assert_false(test_process_has_err(f->launcher, ": running after "));
}

/* Panics that change nothing while the guest runs; stops and resumes when the button is pressed. */
static void test_flood(gconstpointer data)
{
    static const char *const edits[] = {
        "(?s)\\A.*\"RESUME\".*",
        "m[0] + 4000 * '{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"run\"}}\\n'",
        "(?s)\\A.*\"POWERDOWN\".*",
        "m[0] + 1000 * '{\"event\": \"STOP\"}\\n{\"event\": \"RESUME\"}\\n'",
        NULL,
    };
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *binary = write_filter(f->sandbox, edits);
    guint n_lines = 0;

    f->launcher = test_launch(f->sandbox, NAME, "--set", binary, NULL);
    test_process_wait_err(f->launcher, ": running after ", 1);
    test_process_wait_err(f->launcher, ": guest panicked", 1);
    test_process_signal(f->launcher, SIGINT);
    test_launcher_assert_exit(f->launcher, 0);
    for (const char *at = f->launcher->err->str; (at = strchr(at, '\n')) != NULL; at++)
        n_lines++;
    g_assert_cmpuint(n_lines, <, 1000);
    g_assert_false(test_process_has_err(f->launcher, "commands wait for replies already"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_stuck_qemu(gconstpointer data)
{
    const char *args[] = {RESTARTS, "--set", "lifecycle.qmp_timeout_s=1", NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);

    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGSTOP));
    test_instance_wait_guest(f, 2);
    test_launcher_assert_err(f->launcher, "did not answer within lifecycle.qmp_timeout_s");
    test_instance_stop(f, SIGINT);
}

/* Nobody waits for half a minute after ctrl-c. */
static void test_stop_while_waiting(gconstpointer data)
{
    const char *args[] = {"--set", "lifecycle.on_crash=restart", "--set",
                          "lifecycle.restart_delay_ms=30000", NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);

    kill_qemu(f);
    test_process_wait_err(f->launcher, "restarting in 30 s", 1);
    /* Whoever asks now prepares for the next VM. */
    g_autoptr(GPtrArray) names = test_list_regions(f->client_socket);
    g_assert_cmpuint(names->len, >, 0);
    test_instance_stop(f, SIGINT);
}

/* What the failure of a VM leaves is of no use once all went well in the end. */
static void test_record_goes(gconstpointer data)
{
    const char *args[] = {RESTARTS, NULL};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, args);
    g_autofree char *record = test_sandbox_instance_path(f->sandbox, NAME, "failure.json");
    g_autofree char *window = test_sandbox_instance_path(f->sandbox, NAME, "window.img");

    kill_qemu(f);
    test_instance_wait_guest(f, 2);
    test_wait_file(record, "killed by signal 9", 1);
    g_assert_true(g_file_test(window, G_FILE_TEST_EXISTS));
    test_instance_stop(f, SIGINT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/restart/crash", NULL, test_crash);
    test_add("/restart/output-of-each-vm", NULL, test_output_of_each_vm);
    test_add("/restart/again-and-again", NULL, test_again_and_again);
    test_add("/restart/gives-up", NULL, test_gives_up);
    test_add("/restart/first-crash-ends-it", NULL, test_first_crash_ends_it);
    test_add_rows(test_add, "/restart/", ends, test_end);
    test_add_rows(test_add, "/restart/", said, test_said);
    test_add("/restart/flood-of-events", NULL, test_flood);
    test_add("/restart/stuck-qemu", NULL, test_stuck_qemu);
    test_add("/restart/stop-while-waiting", NULL, test_stop_while_waiting);
    test_add("/restart/record-goes", NULL, test_record_goes);
    return g_test_run();
}
