/* SPDX-License-Identifier: Apache-2.0 */
/* What host programs and hooks print, what a confined one can do, and what hooks do to a start and
 * an end, with the whole launcher. */
#include "base/fd.h"
#include "tests/support/instance.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME    "output"
#define MAX_LOG (1024 * 1024)

/* A program that runs until it is stopped, after @script. Returns: (transfer full): for --set */
static char *make_program(const char *name, const char *script, const char *keys)
{
    return g_strdup_printf("programs.%s={\"argv\":[\"sh\",\"-c\",\"%s\"]%s}", name, script, keys);
}

#define SLEEP "exec sleep 1000"

static TestInstance *start(const char *program, const char *more)
{
    const char *args[] = {"--set", program, more, NULL};

    return test_instance_start(NAME, args);
}

static char *get_log_path(const TestInstance *f, const char *name)
{
    g_autofree char *file = g_strdup_printf("programs/%s.log", name);

    return test_sandbox_instance_path(f->sandbox, NAME, file);
}

static gsize get_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (gsize)st.st_size : 0;
}

/* Its directory need not be there either. */
static void wait_for_file(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);

    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return;
    wait_for_file(parent);
    cvd_autofd fd = inotify_init1(IN_CLOEXEC);
    g_assert_no_errno(inotify_add_watch(fd, parent, IN_CREATE | IN_MOVED_TO));
    while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        char events[4096];
        test_wait_readable(fd, path);
        g_assert_cmpint(read(fd, events, sizeof events), >, 0);
    }
}

static void wait_for_log(const char *path, const char *text)
{
    wait_for_file(path);
    test_wait_file(path, text, 1);
}

/* ---- Output ---- */

/* A hundred megabytes: the guest starts meanwhile, and the end waits for none of them. */
static void test_flood(gconstpointer data)
{
    g_autofree char *program = make_program("flood", "head -c 100000000 /dev/zero >&2; " SLEEP, "");
    g_autoptr(TestInstance) f = start(program, NULL);
    g_autofree char *path = get_log_path(f, "flood");
    g_autofree char *older = g_strdup_printf("%s.1", path);

    test_instance_wait_guest(f, 1);
    wait_for_file(older);
    g_assert_cmpuint(get_size(path), <=, MAX_LOG);
    g_assert_cmpuint(get_size(older), ==, MAX_LOG);
    test_instance_stop(f, SIGTERM);
}

/* All of it, to the end: the files stay as small as they may be. */
static void test_whole_flood(gconstpointer data)
{
    g_autofree char *program =
        make_program("flood", "head -c 100000000 /dev/zero >&2; exit 3", ",\"restart\":\"never\"");
    g_autoptr(TestInstance) f = start(program, NULL);
    g_autofree char *path = get_log_path(f, "flood");
    g_autofree char *older = g_strdup_printf("%s.1", path);

    test_instance_wait_guest(f, 1);
    test_process_wait_err(f->launcher, "program flood exited with status 3", 1);
    g_assert_cmpuint(get_size(path), <=, MAX_LOG);
    g_assert_cmpuint(get_size(older), ==, MAX_LOG);
    test_instance_stop(f, SIGTERM);
}

static void test_lines(gconstpointer data)
{
    g_autofree char *program =
        make_program("echo", "echo said; printf '\\\\033[2J' >&2; " SLEEP, "");
    g_autoptr(TestInstance) f = start(program, "--verbose");

    test_instance_wait_guest(f, 1);
    test_process_signal(f->launcher, SIGTERM);
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
    test_launcher_assert_err(f->launcher, NAME ": echo: said\n");
    test_launcher_assert_err(f->launcher, NAME ": echo: \\x1b[2J\n");
}

static void test_without_verbose(gconstpointer data)
{
    g_autofree char *program = make_program("echo", "echo said; " SLEEP, "");
    g_autoptr(TestInstance) f = start(program, NULL);
    g_autofree char *path = get_log_path(f, "echo");

    wait_for_log(path, "said\n");
    test_instance_wait_guest(f, 1);
    test_instance_stop(f, SIGTERM);
    g_assert_null(strstr(f->launcher->err->str, "said"));
}

/* It says why the machine has failed. The next start begins with new logs. */
static void test_after_a_failure(gconstpointer data)
{
    g_autofree char *program = make_program("tpm", "echo one; echo no such device; exit 1",
                                            ",\"critical\":true,\"restart\":\"never\"");
    g_autofree char *next = make_program("other", "echo fine; " SLEEP, "");
    g_autoptr(TestInstance) f = start(program, NULL);
    g_autofree char *path = get_log_path(f, "tpm");
    g_autofree char *new_path = get_log_path(f, "other");

    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, "tpm: no such device\n");
    wait_for_log(path, "one\nno such device\n");

    test_process_free(f->launcher);
    f->launcher = test_launch(f->sandbox, NAME, "--set", next, NULL);
    test_instance_wait_guest(f, 1);
    wait_for_log(new_path, "fine\n");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    test_instance_stop(f, SIGTERM);
}

/* What it left is no stranger's to the next one. */
static void test_after_a_crash(gconstpointer data)
{
    g_autofree char *program = make_program("echo", "echo said; " SLEEP, "");
    g_autoptr(TestInstance) f = start(program, NULL);
    g_autofree char *path = get_log_path(f, "echo");

    test_instance_wait_guest(f, 1);
    wait_for_log(path, "said\n");
    test_process_signal(f->launcher, SIGKILL);
    test_process_wait_end(f->launcher);
    test_process_free(f->launcher);
    f->launcher = test_launch(f->sandbox, NAME, NULL);
    test_instance_wait_guest(f, 1);
    test_process_wait_err(f->launcher, "removed what a launcher that crashed", 1);
    test_instance_stop(f, SIGTERM);
}

static void limit_files(gconstpointer data)
{
    const struct rlimit limit = {131072, 131072};

    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        _exit(124);
}

/* As when the disk is full: lines are lost, and nothing else. */
static void test_log_at_its_limit(gconstpointer data)
{
    g_autofree char *program = make_program("flood", "head -c 1000000 /dev/zero; " SLEEP, "");
    const char *args[] = {
        "--set",
        program,
        "--set",
        "lifecycle.stop=quit",
        "--set",
        "layout={\"vsoc_device_regions\":[{\"device_name\":\"r0\",\"current_version\":1,"
        "\"min_compatible_version\":1,\"region_size\":4096,"
        "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":2},"
        "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":2}}]}",
        NULL};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    f->launcher = test_launch_with(f->sandbox, NAME, args, limit_files, NULL);
    test_process_wait_err(f->launcher, "programs/flood.log: lines are lost: File too large", 1);
    test_launcher_wait_running(f->launcher);
    test_instance_stop(f, SIGTERM);
    g_assert_null(strstr(strstr(f->launcher->err->str, "lines are lost") + 1, "lines are lost"));
}

/* ---- Confinement ---- */

static char *find_bubblewrap(void)
{
    int status = 0;

    if (g_spawn_command_line_sync("bwrap --unshare-user --disable-userns --ro-bind / / true", NULL,
                                  NULL, &status, NULL) &&
        status == 0)
        return NULL;
    return g_strdup("bubblewrap is not there, or does not work here");
}

/* It has its region, open, and what it needs to run; and then nothing. */
static void test_confined_with_a_region(gconstpointer data)
{
    g_autofree char *program = g_strdup_printf(
        "programs.ping={\"argv\":[\"%s\",\"ping\",\"hwcomposer\",\"-c\",\"3\"],"
        "\"regions\":[\"hwcomposer\"],\"pass_fds\":true,\"confine\":true,\"restart\":\"never\"}",
        g_getenv("CVD_CLIENT"));
    g_autoptr(TestInstance) f = start(program, "--verbose");

    test_process_wait_err(f->launcher, "program ping: done", 1);
    test_instance_wait_guest(f, 1);
    test_instance_stop(f, SIGTERM);
    test_launcher_assert_err(f->launcher, NAME ": ping: 3 ");
}

/* The same through the socket, which is all that it has of the runtime directory. */
static void test_confined_with_a_socket(gconstpointer data)
{
    g_autofree char *program = g_strdup_printf(
        "programs.wait={\"argv\":[\"%s\",\"-s\",\"${client_socket}\",\"wait\",\"hwcomposer\"],"
        "\"regions\":[\"hwcomposer\"],\"ready\":\"attached\",\"confine\":true}",
        g_getenv("CVD_CLIENT"));
    g_autoptr(TestInstance) f = start(program, NULL);

    test_instance_wait_guest(f, 1);
    test_instance_stop(f, SIGTERM);
}

static void test_confined(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *secret = test_sandbox_path(f->sandbox, "secret");
    g_autofree char *script = g_strdup_printf(
        "cat %s; ls $CVD_RUNTIME; echo x >/usr/x; kill -0 $PPID; cat /proc/net/dev | wc -l; "
        "ulimit -n; ls /proc | grep -c '^[0-9]'; echo end; " SLEEP,
        secret);
    g_autofree char *program =
        make_program("jail", script, ",\"confine\":{\"descriptors\":99},\"ready\":\"started\"");
    g_autofree char *path = get_log_path(f, "jail");

    g_assert_true(g_file_set_contents(secret, "known", -1, NULL));
    f->launcher = test_launch(f->sandbox, NAME, "--set", program, NULL);
    wait_for_log(path, "end\n");
    g_autofree char *log = NULL;
    g_assert_true(g_file_get_contents(path, &log, NULL, NULL));
    g_assert_null(strstr(log, "known"));
    g_assert_null(strstr(log, "control.sock"));
    g_assert_nonnull(strstr(log, "Read-only file system"));
    g_assert_nonnull(strstr(log, "\n3\n99\n")); /* two lines of heading and lo; descriptors */
    test_instance_wait_guest(f, 1);
    unlink(secret);
    test_instance_stop(f, SIGTERM);
}

static void test_confined_is_killed(gconstpointer data)
{
    g_autofree char *program =
        make_program("mad", "kill -SEGV $$$$", ",\"confine\":true,\"restart\":\"never\"");
    g_autoptr(TestInstance) f = start(program, NULL);

    test_process_wait_err(f->launcher, "program mad was killed by signal 11", 1);
    test_instance_wait_guest(f, 1);
    test_instance_stop(f, SIGTERM);
}

/* ---- Hooks ---- */

static void test_hooks(gconstpointer data)
{
    static const char *const keys[] = {"before_start", "after_ready", "after_stop"};
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *log = test_sandbox_path(f->sandbox, "log");
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_ptr_array_add(args, g_strdup("--set"));
        g_ptr_array_add(args, g_strdup_printf("hooks.%s=[\"sh\",\"-c\",\"echo %s $CVD_NAME >>%s\"]",
                                              keys[i], keys[i], log));
    }
    g_ptr_array_add(args, NULL);
    f->launcher = test_launch_with(f->sandbox, NAME, (const char *const *)args->pdata, NULL, NULL);
    test_instance_wait_guest(f, 1);
    wait_for_log(log, "after_ready");
    test_instance_stop(f, SIGTERM);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "before_start " NAME "\nafter_ready " NAME "\nafter_stop " NAME "\n");
    unlink(log);
}

static void test_hook_that_fails(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        start("hooks.before_start=[\"sh\",\"-c\",\"echo no such bridge >&2; exit 3\"]", NULL);

    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(
        f->launcher, "hooks.before_start: sh exited with status 3: no such bridge (all of it: ");
    g_assert_null(strstr(f->launcher->err->str, "running"));
}

static void test_hook_that_hangs(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    f->launcher = test_launch(f->sandbox, NAME, "--set",
                              "hooks.before_start=[\"sh\",\"-c\",\"trap '' TERM; sleep 1000\"]",
                              "--set", "hooks.timeout_s=1", NULL);
    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, "hooks.before_start: sh was killed, as it took longer "
                                          "than 1 s; hooks.timeout_s sets that limit");
}

/* A stop during the hook ends it, and that is no failure. */
static void test_stop_during_a_hook(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *path = get_log_path(f, "hooks");

    f->launcher = test_launch(
        f->sandbox, NAME, "--set",
        "hooks.before_start=[\"sh\",\"-c\",\"trap '' TERM INT; echo up; sleep 1000\"]", NULL);
    wait_for_log(path, "up\n");
    test_instance_stop(f, SIGINT);
}

/* The machine has run and ended as it should. */
static void test_hook_that_fails_later(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    f->launcher =
        test_launch(f->sandbox, NAME, "--set", "hooks.after_ready=[\"sh\",\"-c\",\"exit 4\"]",
                    "--set", "hooks.after_stop=[\"sh\",\"-c\",\"echo cannot; exit 5\"]", NULL);
    test_instance_wait_guest(f, 1);
    test_process_wait_err(f->launcher, "hooks.after_ready: sh exited with status 4\n", 1);
    test_instance_stop(f, SIGTERM);
    test_launcher_assert_err(f->launcher, "hooks.after_stop: sh exited with status 5: cannot\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/program-output/flood", NULL, test_flood);
    test_add("/program-output/whole-flood", NULL, test_whole_flood);
    test_add("/program-output/lines-with-verbose", NULL, test_lines);
    test_add("/program-output/without-verbose", NULL, test_without_verbose);
    test_add("/program-output/after-a-failure", NULL, test_after_a_failure);
    test_add("/program-output/after-a-crash", NULL, test_after_a_crash);
    test_add("/program-output/log-at-its-limit", NULL, test_log_at_its_limit);
    test_add_unless("/program-output/confined", NULL, test_confined, find_bubblewrap);
    test_add_unless("/program-output/confined-with-a-region", NULL, test_confined_with_a_region,
                    find_bubblewrap);
    test_add_unless("/program-output/confined-with-a-socket", NULL, test_confined_with_a_socket,
                    find_bubblewrap);
    test_add_unless("/program-output/confined-is-killed", NULL, test_confined_is_killed,
                    find_bubblewrap);
    test_add("/program-output/hooks", NULL, test_hooks);
    test_add("/program-output/hook-that-fails", NULL, test_hook_that_fails);
    test_add("/program-output/hook-that-hangs", NULL, test_hook_that_hangs);
    test_add("/program-output/stop-during-a-hook", NULL, test_stop_during_a_hook);
    test_add("/program-output/hook-that-fails-later", NULL, test_hook_that_fails_later);
    return g_test_run();
}
