/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/linux.h"

#include "base/fd.h"
#include "tests/support/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READY "cvd-agent: ready"

static char *guest_path(const char *name)
{
    const char *dir = g_getenv("CVD_LINUX_GUEST");

    if (dir == NULL)
        g_error("CVD_LINUX_GUEST is not set: run the tests through scripts/test or `meson test`");
    return g_build_filename(dir, name, NULL);
}

char *test_linux_why_not(void)
{
    g_autofree char *kernel = guest_path("vmlinuz"), *initramfs = guest_path("initramfs");
    g_autofree char *why_not = guest_path("why-not");
    struct stat agent, packed;
    char *why;

    if (g_file_get_contents(why_not, &why, NULL, NULL))
        return g_strstrip(why);
    if (access(kernel, R_OK) < 0 || stat(initramfs, &packed) < 0)
        return g_strdup("scripts/linux-guest has not been run");
    if (stat(g_getenv("CVD_AGENT"), &agent) < 0 || agent.st_mtime > packed.st_mtime)
        return g_strdup("the agent is newer than the initramfs; run scripts/linux-guest");
    return NULL;
}

static char *explain_skip(void)
{
    g_autofree char *why = test_linux_why_not();

    return why != NULL ? g_strconcat("no Linux guest: ", why, NULL) : NULL;
}

void test_linux_add(const char *path, gconstpointer data, GTestDataFunc test)
{
    test_add_unless(path, data, test, explain_skip);
}

static void take_input(gconstpointer data)
{
    if (dup2(GPOINTER_TO_INT(data), STDIN_FILENO) < 0)
        _exit(126);
}

/* A pipe is no terminal, so what comes from it is typed as it is. */
static void open_console(TestLinux *vm)
{
    const char *argv[] = {g_getenv("CVD_CTL"), "-n", TEST_LINUX_NAME, "attach", NULL};
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    vm->console = test_process_start(vm->sandbox, argv, take_input, GINT_TO_POINTER(ends[0]));
    cvd_close_fd(&ends[0]);
    vm->input = ends[1];
}

static void add_set(GPtrArray *argv, char *take_value)
{
    g_ptr_array_add(argv, g_strdup("--set"));
    g_ptr_array_add(argv, take_value);
}

/* @take_sandbox: where it lives; @config: path */
static TestLinux *launch(TestSandbox *take_sandbox, const char *config, const char *const *sets)
{
    TestLinux *vm = g_new0(TestLinux, 1);
    g_autofree char *kernel = guest_path("vmlinuz"), *initramfs = guest_path("initramfs");
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    vm->sandbox = take_sandbox;
    vm->client_socket = test_sandbox_instance_path(vm->sandbox, TEST_LINUX_NAME, "client.sock");
    g_ptr_array_add(argv, g_strdup(test_launcher_path()));
    g_ptr_array_add(argv, g_strdup("--config"));
    g_ptr_array_add(argv, g_strdup(config));
    g_ptr_array_add(argv, g_strdup("--name"));
    g_ptr_array_add(argv, g_strdup(TEST_LINUX_NAME));
    add_set(argv, g_strdup("qemu.accel=tcg"));
    add_set(argv, g_strconcat("qemu.kernel=", kernel, NULL));
    add_set(argv, g_strconcat("qemu.initrd=", initramfs, NULL));
    for (; *sets != NULL; sets++)
        add_set(argv, g_strdup(*sets));
    g_ptr_array_add(argv, NULL);
    vm->launcher = test_process_start(vm->sandbox, (const char *const *)argv->pdata, NULL, NULL);
    test_launcher_wait_running(vm->launcher);
    open_console(vm);
    return vm;
}

TestLinux *test_linux_start_with(const char *const *sets)
{
    g_autofree char *config = test_source_path("conf/examples/linux.json");

    return launch(test_sandbox_new(), config, sets);
}

static GPtrArray *collect(const char *set, va_list list)
{
    GPtrArray *sets = g_ptr_array_new();

    for (; set != NULL; set = va_arg(list, const char *))
        g_ptr_array_add(sets, (char *)set);
    g_ptr_array_add(sets, NULL);
    return sets;
}

static TestLinux *start(const char *set, va_list list)
{
    g_autoptr(GPtrArray) sets = collect(set, list);

    return test_linux_start_with((const char *const *)sets->pdata);
}

TestLinux *test_linux_start(const char *set, ...)
{
    va_list list;

    va_start(list, set);
    TestLinux *vm = start(set, list);
    va_end(list);
    return vm;
}

TestLinux *test_linux_boot(const char *set, ...)
{
    va_list list;

    va_start(list, set);
    TestLinux *vm = start(set, list);
    va_end(list);
    test_linux_wait_ready(vm, 1);
    return vm;
}

TestLinux *test_linux_boot_config(TestSandbox *take_sandbox, const char *config, const char *set,
                                  ...)
{
    va_list list;

    va_start(list, set);
    g_autoptr(GPtrArray) sets = collect(set, list);
    va_end(list);
    TestLinux *vm = launch(take_sandbox, config, (const char *const *)sets->pdata);
    test_linux_wait_ready(vm, 1);
    return vm;
}

void test_linux_wait_ready(TestLinux *vm, guint n)
{
    test_linux_wait(vm, READY, n);
}

void test_linux_wait(TestLinux *vm, const char *text, guint n)
{
    test_process_wait_out(vm->console, text, n);
}

void test_linux_type(TestLinux *vm, const char *line)
{
    g_autofree char *text = g_strconcat(line, "\n", NULL);

    g_assert_cmpint(write(vm->input, text, strlen(text)), ==, (gssize)strlen(text));
}

void test_linux_command(TestLinux *vm, const char *line, const char *expected)
{
    guint n = 0;

    for (const char *at = vm->console->out->str; (at = strstr(at, expected)) != NULL; at++)
        n++;
    test_linux_type(vm, line);
    test_linux_wait(vm, expected, n + 1);
}

void test_linux_shell(TestLinux *vm, const char *command)
{
    g_autofree char *line = g_strconcat("sh ", command, NULL);

    test_linux_command(vm, line, "cvd-agent: sh: exit status");
    const char *last = g_strrstr(vm->console->out->str, "cvd-agent: sh: exit status");
    if (!g_str_has_prefix(last, "cvd-agent: sh: exit status 0"))
        test_process_fail(vm->console, "the guest's shell failed at: %s", command);
}

void test_linux_ctl(TestLinux *vm, const char *verb, const char *argument)
{
    const char *argv[] = {g_getenv("CVD_CTL"), "-n", TEST_LINUX_NAME, verb, argument, NULL};
    g_autoptr(TestProcess) ctl = test_process_start(vm->sandbox, argv, NULL, NULL);

    if (test_process_wait_exit(ctl) != 0)
        test_process_fail(ctl, "cvd-ctl %s failed", verb);
}

TestRegion *test_linux_attach(const TestLinux *vm, const char *region)
{
    return test_region_attach(vm->client_socket, region);
}

void test_linux_ping(const TestLinux *vm, const char *name)
{
    g_autoptr(TestRegion) region = test_linux_attach(vm, name);

    test_region_ping(region, region->data_offset, 1);
    test_region_echo(region);
}

void test_linux_end(TestLinux *vm, int status)
{
    test_launcher_assert_exit(vm->launcher, status);
    test_process_wait_end(vm->console);
    test_sandbox_assert_clean(vm->sandbox, status == 0 ? TEST_NOTHING_LEFT : TEST_LOGS_LEFT);
}

void test_linux_stop(TestLinux *vm)
{
    test_process_signal(vm->launcher, SIGINT);
    test_linux_end(vm, 0);
    test_launcher_assert_err(vm->launcher, "guest powered off");
    g_assert_nonnull(strstr(vm->console->out->str, "cvd-agent: power button, powering off"));
}

void test_linux_free(TestLinux *vm)
{
    test_process_free(vm->console);
    test_process_free(vm->launcher);
    cvd_close_fd(&vm->input);
    test_sandbox_free(vm->sandbox);
    g_free(vm->client_socket);
    g_free(vm);
}
