/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a machine is ready, as `lifecycle.ready` has it: who says so, who is told, and what becomes
 * of one that never is.
 */
#include "tests/support/instance.h"
#include "tests/support/manager.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"
#include "tests/support/vm.h"

#include <signal.h>
#include <string.h>

#define NAME          "ready"
#define ASKS          "--set=lifecycle.ready=guest"
#define WITHOUT_GUEST "--set=qemu={\"accel\":\"tcg\",\"memory\":\"64M\"}"
#define NOT_YET       "the guest has not said yet that it is ready"
#define N_WITHOUT     68 /* regions, whose descriptors leave no place for the guest's word */

#define START(...) test_instance_start(NAME, (const char *const[]){__VA_ARGS__, NULL})

/* Returns: (transfer full): what cvd-ctl says on stdout, or on stderr where it fails */
static char *ctl(const TestInstance *f, int status, const char *const *arguments)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    g_ptr_array_add(argv, (char *)g_getenv("CVD_CTL"));
    g_ptr_array_add(argv, (char *)"--name=" NAME);
    for (; *arguments != NULL; arguments++)
        g_ptr_array_add(argv, (char *)*arguments);
    g_ptr_array_add(argv, NULL);
    g_autoptr(TestProcess) process =
        test_process_start(f->sandbox, (const char *const *)argv->pdata, NULL, NULL);
    int got = test_process_wait_exit(process);
    if (got != status)
        test_process_fail(process, "exit status %d instead of %d", got, status);
    return g_strdup(status == 0 ? process->out->str : process->err->str);
}

static void assert_ctl(const TestInstance *f, int status, const char *says,
                       const char *const *arguments)
{
    g_autofree char *said = ctl(f, status, arguments);

    if (strstr(said, says) == NULL)
        g_error("cvd-ctl does not say '%s': %s", says, said);
}

#define DONE(f, ...)         assert_ctl(f, 0, "", (const char *const[]){__VA_ARGS__, NULL})
#define SAYS(f, words, ...)  assert_ctl(f, 0, words, (const char *const[]){__VA_ARGS__, NULL})
#define FAILS(f, words, ...) assert_ctl(f, 1, words, (const char *const[]){__VA_ARGS__, NULL})

static void test_by_word(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(ASKS);

    DONE(f, "wait", "--timeout", "60", "ready");
    SAYS(f, "state     running\nready     yes\n", "status");
    SAYS(f, "\"ready\":true", "status", "--json");
    SAYS(f, "\"ready\":true", "list", "--json");
    test_process_wait_err(f->launcher, "ms: the guest said so", 1);
    const char *running = strstr(f->launcher->err->str, NAME ": running after ");
    g_assert_nonnull(running);
    g_assert_nonnull(strstr(running, NAME ": ready after "));
    test_instance_stop(f, SIGINT);
}

/* By default it is ready as soon as it runs, and nothing more is said. */
static void test_by_default(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--paused");

    DONE(f, "wait", "--timeout", "60", "ready");
    SAYS(f, "state     paused (started with --paused)\nready     yes\n", "status");
    DONE(f, "resume");
    test_launcher_wait_guest(f->sandbox, NAME, 1);
    test_instance_stop(f, SIGINT);
    g_assert_false(test_process_has_err(f->launcher, "ready after"));
}

typedef struct {
    const char *name;
    const char *args[4];
    const char *why;
} Never;

static const Never never[] = {
    {"by-word",
     {WITHOUT_GUEST, ASKS, "--set=lifecycle.start_timeout_s=4"},
     "the VM ran, but was not ready within lifecycle.start_timeout_s (4 s): the guest did not say "
     "so (lifecycle.ready is \"guest\")"},
    {"by-console",
     {WITHOUT_GUEST, ASKS, "--set=lifecycle.start_timeout_s=4",
      "--set=lifecycle.ready_pattern=login: "},
     "the VM ran, but was not ready within lifecycle.start_timeout_s (4 s): the guest did not say "
     "so, and no line of its console matched lifecycle.ready_pattern"},
};

/* A start that comes to nothing, also for those who wait for it, and not to be tried again. */
static void test_never(gconstpointer data)
{
    const Never *row = data;
    g_autoptr(TestInstance) f =
        START(row->args[0], row->args[1], row->args[2],
              row->args[3] != NULL ? row->args[3] : "--set=name=" NAME,
              "--set=lifecycle.on_crash=restart", "--set=lifecycle.stop=quit");
    g_autofree char *says = g_strconcat("not ready: the instance has ended: ", row->why, NULL);

    DONE(f, "wait", "--timeout", "60", "running");
    FAILS(f, "is running, not ready, after 0.1 s: " NOT_YET, "wait", "--timeout", "0.1", "ready");
    SAYS(f, "state     running (" NOT_YET ")\nready     no\n", "status");
    FAILS(f, says, "wait", "--timeout", "60", "ready");
    test_instance_ended(f, 1, TEST_LOGS_LEFT);
    test_launcher_assert_err(f->launcher, row->why);
    g_assert_false(test_process_has_err(f->launcher, "ready after"));
}

#define PROGRAMS "--set=lifecycle.ready=programs"
#define SLEEPER  "\"sleeper\":{\"argv\":[\"sleep\",\"1000\"]}"

static void test_by_programs(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(PROGRAMS, "--set=programs={" SLEEPER "}", "--paused");

    DONE(f, "wait", "--timeout", "60", "paused");
    SAYS(f, "ready     no\n", "status");
    DONE(f, "resume");
    DONE(f, "wait", "--timeout", "60", "ready");
    test_process_wait_err(f->launcher, "ms: all programs are", 1);
    DONE(f, "restart");
    DONE(f, "resume");
    test_process_wait_err(f->launcher, "ms: all programs are", 2);
    DONE(f, "program", "stop", "sleeper"); /* which takes nothing back */
    SAYS(f, "ready     yes\n", "status");
    test_instance_stop(f, SIGINT);
}

/* One that the machine can do without has failed before it was ready: the guest runs. */
static void test_program_fails(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        START(PROGRAMS, "--set=lifecycle.start_timeout_s=4", "--set=lifecycle.stop=quit",
              "--set=programs={" SLEEPER
              ",\"broken\":{\"argv\":[\"false\"],\"restart\":\"never\",\"ready\":\"notify\"}}");

    DONE(f, "wait", "--timeout", "60", "running");
    SAYS(f, "state     running (not all programs are ready)\nready     no\n", "status");
    FAILS(f, "not all programs were (lifecycle.ready is \"programs\"): broken (failed)", "wait",
          "--timeout", "60", "ready");
    test_launcher_assert_exit(f->launcher, 1);
    test_launcher_assert_err(f->launcher,
                             "within lifecycle.start_timeout_s (4 s): not all programs "
                             "were (lifecycle.ready is \"programs\"): broken (failed)");
}

static void test_reset(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(ASKS);

    DONE(f, "wait", "--timeout", "60", "ready");
    g_autoptr(TestProcess) events = test_process_start(
        f->sandbox, (const char *const[]){g_getenv("CVD_CTL"), "-n", NAME, "events", NULL}, NULL,
        NULL);
    test_process_wait_out(events, "state  running", 1);
    DONE(f, "reset");
    test_process_wait_err(f->launcher, NAME ": ready again: the guest said so", 1);
    test_process_wait_out(events, "state  running " NOT_YET, 1);
    test_process_wait_out(events, "state  running\n", 2);
    DONE(f, "wait", "--timeout", "60", "ready");
    SAYS(f, "ready     yes\n", "status");
    test_ping(f->client_socket, "sensors");
    test_process_signal(f->launcher, SIGINT);
    g_assert_cmpint(test_process_wait_exit(events), ==, 0);
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
}

static void test_restart(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(ASKS);

    DONE(f, "wait", "--timeout", "60", "ready");
    DONE(f, "restart");
    DONE(f, "wait", "--timeout", "60", "ready");
    test_process_wait_err(f->launcher, NAME ": ready after ", 2);
    SAYS(f, "ready     yes\n", "status");
    test_instance_stop(f, SIGINT);
}

/* One that is paused says nothing, and has as much time as its user takes. */
static void test_paused(gconstpointer data)
{
    g_autoptr(TestInstance) f = START(ASKS, "--paused");

    DONE(f, "wait", "--timeout", "60", "paused");
    SAYS(f, "state     paused (started with --paused)\nready     no\n", "status");
    FAILS(f, "is paused, not ready", "wait", "--timeout", "0.1", "ready");
    DONE(f, "resume");
    DONE(f, "wait", "--timeout", "60", "ready");
    DONE(f, "pause");
    SAYS(f, "state     paused (a pause was asked for)\nready     yes\n", "status");
    test_instance_stop(f, SIGINT);
}

/* Of a guest without a word: the line counts, and after a reset that of the new guest. */
static void test_by_console(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *layout = test_write_layout(f->sandbox, N_WITHOUT);

    f->launcher = test_launch(f->sandbox, NAME, "--set", layout, ASKS,
                              "--set=lifecycle.ready_pattern=^cvd-guest: ready$", NULL);
    test_process_wait_err(f->launcher, "ms: its console matches lifecycle.ready_pattern", 1);
    DONE(f, "wait", "--timeout", "60", "ready");
    DONE(f, "pause"); /* so that the new guest prints nothing before the old one's text is read */
    DONE(f, "reset");
    DONE(f, "resume");
    test_process_wait_err(f->launcher, "ready again: its console matches", 1);
    DONE(f, "restart");
    test_process_wait_err(f->launcher, "ms: its console matches lifecycle.ready_pattern", 2);
    SAYS(f, "ready     yes\n", "status");
    test_instance_stop(f, SIGINT);
}

/* Without a word and a pattern there would be nothing to wait for. */
static void test_no_way_to_say_so(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *layout = test_write_layout(sandbox, N_WITHOUT);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, "--set", layout, ASKS, NULL);

    test_launcher_assert_exit(launcher, 2);
    test_launcher_assert_err(launcher,
                             "lifecycle.ready: the descriptors of 68 regions leave no place");
}

/* A guest that writes all over the window, but for a region and the descriptors, has said so once,
 * and that is all. */
static void test_scribbling_guest(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        START(ASKS, "--set=qemu.append=scribble=misc", "--set=lifecycle.stop=quit");

    DONE(f, "wait", "--timeout", "60", "ready");
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    for (guint i = 0; i < 100; i++)
        test_region_wait_ring(region);
    SAYS(f, "state     running\nready     yes\n", "status");
    test_instance_stop(f, SIGINT);
    g_assert_false(test_process_has_err(f->launcher, "ready again"));
}

/* READY=1 comes once, when the guest has said so; systemd is told that a pause takes its time. */
static void test_notify_socket(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autoptr(TestManager) manager = test_manager_new(f->sandbox);

    f->launcher = test_launch(f->sandbox, NAME, "--paused", ASKS, NULL);
    test_manager_hide(manager);
    test_manager_receive(manager, "EXTEND_TIMEOUT_USEC=86400000000\n");
    DONE(f, "resume");
    test_manager_receive(manager, "READY=1\nSTATUS=running\n");
    DONE(f, "restart");
    DONE(f, "resume");
    test_process_wait_err(f->launcher, NAME ": ready after ", 2);
    test_process_signal(f->launcher, SIGTERM);
    test_manager_receive(manager, "STATUS=stopped: ");
    /* 30 s for the start, 10 for a stop, 4.8 if QEMU does not react, 10 for what is left then. */
    g_assert_cmpstr(manager->notices->str, ==,
                    "EXTEND_TIMEOUT_USEC=54800000\n"
                    "STATUS=starting\n"
                    "STATUS=paused: started with --paused\n"
                    "EXTEND_TIMEOUT_USEC=86400000000\n"
                    "STATUS=running: " NOT_YET "\n"
                    "READY=1\n"
                    "STATUS=running\n"
                    "STATUS=restarting: a restart was asked for\n"
                    "STATUS=starting\n"
                    "STATUS=paused: started with --paused\n"
                    "STATUS=running: " NOT_YET "\n"
                    "STATUS=running\n"
                    "STATUS=stopping: a stop was asked for\n"
                    "STOPPING=1\n"
                    "EXTEND_TIMEOUT_USEC=24800000\n"
                    "STATUS=stopped: the guest powered off\n");
    test_launcher_assert_exit(f->launcher, 0);
}

/* Somebody else's VM, which is ready, then mute, then hostile. */
static void test_vm_of_others(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--serve-only", ASKS);

    test_process_wait_err(f->launcher, ": serving without a VM", 1);
    SAYS(f, "ready     no\n", "status");
    g_autoptr(TestProcess) ready = test_vm_start(f->sandbox, "--socket", f->vm_socket, NULL);
    DONE(f, "wait", "--timeout", "60", "ready");
    test_process_wait_err(f->launcher, NAME ": guest is ready", 1);
    test_launcher_stop(ready, SIGTERM);
    test_process_wait_err(f->launcher, "VM detached", 1);
    SAYS(f, "ready     no\n", "status");

    g_autoptr(TestProcess) mute =
        test_vm_start(f->sandbox, "--socket", f->vm_socket, "--mute", NULL);
    test_process_wait_err(mute, "cvd-vm: mute", 1);
    FAILS(f, "is running, not ready", "wait", "--timeout", "0.1", "ready");
    test_launcher_stop(mute, SIGTERM);
    test_process_wait_err(f->launcher, "VM detached", 2);

    g_autoptr(TestProcess) hostile =
        test_vm_start(f->sandbox, "--socket", f->vm_socket, "--scribble", NULL);
    DONE(f, "wait", "--timeout", "60", "ready");
    test_launcher_stop(hostile, SIGTERM);
    test_launcher_stop(f->launcher, SIGTERM);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/ready/by-word", NULL, test_by_word);
    test_add("/ready/by-default", NULL, test_by_default);
    test_add_rows(test_add, "/ready/never/", never, test_never);
    test_add("/ready/by-programs", NULL, test_by_programs);
    test_add("/ready/program-fails", NULL, test_program_fails);
    test_add("/ready/reset", NULL, test_reset);
    test_add("/ready/restart", NULL, test_restart);
    test_add("/ready/paused", NULL, test_paused);
    test_add("/ready/by-console", NULL, test_by_console);
    test_add("/ready/no-way-to-say-so", NULL, test_no_way_to_say_so);
    test_add("/ready/scribbling-guest", NULL, test_scribbling_guest);
    test_add("/ready/notify-socket", NULL, test_notify_socket);
    test_add("/ready/serve-only", NULL, test_vm_of_others);
    return g_test_run();
}
