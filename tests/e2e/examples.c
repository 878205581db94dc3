/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host programs of the documentation, in C and in Python, as examples.py has installed and
 * compiled them: they ping the guest through every region, and go on with the next VM.
 */
#include "tests/support/launcher.h"
#include "tests/support/vm.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#define NAME    "examples"
#define MILLION 1000000u
/* A million round trips may take longer than what the fail-safe of other waits allows. */
#define LONG_TIMEOUT_MS (4 * TEST_TIMEOUT_MS)

static const char *const region_names[] = {"hwcomposer", "sensors", "misc", "fb_manager",
                                           "framebuffer"};

/* What stands at the other end of the window. */
typedef enum {
    VM_FAKE, /* cvd-vm */
    VM_QEMU, /* the built-in guest */
} VmKind;

typedef struct {
    const char *name;
    gboolean in_python;
    VmKind vm;
} Case;

static const Case cases[] = {
    {"c/cvd-vm", FALSE, VM_FAKE},
    {"c/qemu", FALSE, VM_QEMU},
    {"python/cvd-vm", TRUE, VM_FAKE},
    {"python/qemu", TRUE, VM_QEMU},
};

/* A launcher, and with --serve-only also a cvd-vm. */
typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    TestProcess *vm;
    char *monitor_argument;
} Fixture;

static gboolean can_run(const Case *test)
{
    if (test->in_python && g_getenv("CVD_NO_PYTHON") != NULL) {
        test_skip(g_getenv("CVD_NO_PYTHON"));
        return FALSE;
    }
    if (test->vm == VM_QEMU && g_getenv("CVD_GUEST") == NULL) {
        test_skip("the built-in guest was not built");
        return FALSE;
    }
    return TRUE;
}

static void start_vm(Fixture *f, VmKind kind)
{
    switch (kind) {
    case VM_FAKE:
        f->launcher = test_serve_only(f->sandbox, NAME);
        f->vm = test_vm_start(f->sandbox, "--name", NAME, NULL);
        break;
    case VM_QEMU:
        f->launcher = test_launch(f->sandbox, NAME, "--set", f->monitor_argument, NULL);
        test_launcher_wait_running(f->launcher);
        break;
    }
}

static void stop(TestProcess **process)
{
    if (*process == NULL)
        return;
    test_launcher_stop(*process, SIGTERM);
    g_clear_pointer(process, test_process_free);
}

static void stop_vm(Fixture *f)
{
    stop(&f->vm);
    stop(&f->launcher);
}

static void fixture_init(Fixture *f, VmKind kind)
{
    *f = (Fixture){.sandbox = test_sandbox_new()};
    f->monitor_argument = test_monitor_argument(f->sandbox);
    start_vm(f, kind);
}

static void fixture_clear(Fixture *f)
{
    g_clear_pointer(&f->vm, test_process_free);
    g_clear_pointer(&f->launcher, test_process_free);
    g_clear_pointer(&f->sandbox, test_sandbox_free);
    g_clear_pointer(&f->monitor_argument, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static TestProcess *start_program(const Fixture *f, gboolean in_python, guint n_each)
{
    g_autofree char *socket = test_sandbox_instance_path(f->sandbox, NAME, "client.sock");
    g_autofree char *count = g_strdup_printf("%u", n_each);
    const char *argv[6] = {NULL};
    guint n = 0;

    if (in_python)
        argv[n++] = g_getenv("CVD_PYTHON");
    argv[n++] = g_getenv(in_python ? "CVD_HOST_PROGRAM_PY" : "CVD_HOST_PROGRAM");
    /* Without a count it is to find the instance, too. */
    if (n_each > 0) {
        argv[n++] = socket;
        argv[n++] = count;
    }
    return test_process_start(f->sandbox, argv, NULL, NULL);
}

/* Waits until each region has been answered by the @n-th VM. */
static void wait_answers(TestProcess *program, guint n)
{
    for (guint i = 0; i < G_N_ELEMENTS(region_names); i++) {
        g_autofree char *line = g_strdup_printf("%s: the guest answers\n", region_names[i]);
        test_process_wait_out(program, line, n);
    }
}

static void finish(Fixture *f)
{
    stop_vm(f);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void wait_long(const TestProcess *program)
{
    struct pollfd end = {.fd = program->pidfd, .events = POLLIN};

    if (poll(&end, 1, LONG_TIMEOUT_MS) != 1)
        test_process_fail(program, "it has not ended");
}

static void ping_all(const Case *test, guint n_each)
{
    g_auto(Fixture) f;

    fixture_init(&f, test->vm);
    g_autoptr(TestProcess) program = start_program(&f, test->in_python, n_each);
    wait_long(program);
    test_launcher_assert_exit(program, 0);
    g_assert_cmpstr(program->err->str, ==, "");
    wait_answers(program, 1);
    for (guint i = 0; i < G_N_ELEMENTS(region_names); i++) {
        g_autofree char *line = g_strdup_printf("%s: %u answers\n", region_names[i], n_each);
        g_assert_nonnull(strstr(program->out->str, line));
    }
    finish(&f);
}

static void test_pings_every_region(gconstpointer data)
{
    if (can_run(data))
        ping_all(data, 1000);
}

/* In lock step: one that is lost would be the last. */
static void test_a_million_signals(gconstpointer data)
{
    if (can_run(data))
        ping_all(data, MILLION / G_N_ELEMENTS(region_names));
}

/* With ctrl-c, once it has been answered by @n_vms in turn. */
static void stop_program(TestProcess *program, guint n_vms)
{
    wait_answers(program, n_vms);
    test_launcher_stop(program, SIGINT);
    g_assert_cmpstr(program->err->str, ==, "");
    for (guint i = 0; i < G_N_ELEMENTS(region_names); i++) {
        g_autofree char *line = g_strdup_printf("%s: 0 answers\n", region_names[i]);
        g_assert_null(strstr(program->out->str, line));
    }
}

/* The launcher ends and is started again. */
static void start_next_launch(Fixture *f, VmKind kind)
{
    stop_vm(f);
    start_vm(f, kind);
}

/* The launcher stays, the VM does not. */
static void start_next_vm(Fixture *f, VmKind kind)
{
    switch (kind) {
    case VM_FAKE:
        stop(&f->vm);
        f->vm = test_vm_start(f->sandbox, "--name", NAME, NULL);
        break;
    case VM_QEMU: {
        g_autoptr(TestMonitor) monitor = test_monitor_connect(f->sandbox);
        g_free(test_monitor_execute(monitor, "system_reset"));
        break;
    }
    }
}

static void go_on(const Case *test, void (*start_next)(Fixture *f, VmKind kind))
{
    g_auto(Fixture) f = {.sandbox = NULL};

    if (!can_run(test))
        return;
    fixture_init(&f, test->vm);
    g_autoptr(TestProcess) program = start_program(&f, test->in_python, 0);
    for (guint n = 1; n <= 3; n++) {
        wait_answers(program, n);
        start_next(&f, test->vm);
        g_assert_false(program->has_ended);
    }
    stop_program(program, 4);
    finish(&f);
}

static void test_next_launch(gconstpointer data)
{
    go_on(data, start_next_launch);
}

static void test_next_vm(gconstpointer data)
{
    go_on(data, start_next_vm);
}

static void test_no_instance(gconstpointer data)
{
    const Case *test = data;
    g_auto(Fixture) f = {.sandbox = NULL};

    if (!can_run(test))
        return;
    f.sandbox = test_sandbox_new();
    g_autoptr(TestProcess) program = start_program(&f, test->in_python, 0);
    test_launcher_assert_exit(program, 1);
    test_launcher_assert_err(program, "no instance runs (looked in ");
    test_sandbox_assert_clean(f.sandbox, TEST_NOTHING_LEFT);
}

static void add(const char *what, const Case *test, GTestDataFunc function)
{
    g_autofree char *path = g_strdup_printf("/examples/%s/%s", test->name, what);

    test_add(path, test, function);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        add("pings-every-region", &cases[i], test_pings_every_region);
        add("next-launch", &cases[i], test_next_launch);
        add("next-vm", &cases[i], test_next_vm);
        if (!cases[i].in_python)
            add("a-million-signals", &cases[i], test_a_million_signals);
        if (cases[i].vm == VM_FAKE)
            add("no-instance", &cases[i], test_no_instance);
    }
    return g_test_run();
}
