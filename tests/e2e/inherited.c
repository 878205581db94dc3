/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host programs that inherit their regions from the real launcher, with the built-in guest in a
 * real QEMU, which answers them. None of them knows the client socket.
 */
#include "tests/support/launcher.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#define NAME "inherited"

static const char layout[] = "layout={\"vsoc_device_regions\": ["
                             " {\"device_name\": \"sensors\", \"region_size\": \"16K\","
                             "  \"exclusive\": true},"
                             " {\"device_name\": \"misc\", \"region_size\": \"16K\"}]}";

/* @program: members of its object, JSON with ' in place of " and TOOL for cvd-client */
static TestProcess *launch(const TestSandbox *sandbox, const char *program)
{
    g_auto(GStrv) parts = g_strsplit(program, "TOOL", -1);
    g_autofree char *members = g_strjoinv(g_getenv("CVD_CLIENT"), parts);
    g_autofree char *programs =
        g_strdup_printf("programs={'a': {%s, 'pass_fds': true}}", g_strdelimit(members, "'", '"'));
    g_strdelimit(programs, "'", '"');

    return test_launch(sandbox, NAME, "--verbose", "--set", layout, "--set", programs, "--set",
                       "lifecycle.restart_delay_ms=0", NULL);
}

static char *run(const TestSandbox *sandbox, const char *program, int status,
                 ...) G_GNUC_NULL_TERMINATED;

/* Returns: (transfer full): what it prints */
static char *run(const TestSandbox *sandbox, const char *program, int status, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    va_list args;
    char *arg;

    g_ptr_array_add(argv, (char *)g_getenv(program));
    va_start(args, status);
    do {
        arg = va_arg(args, char *);
        g_ptr_array_add(argv, arg);
    } while (arg != NULL);
    va_end(args);
    g_autoptr(TestProcess) tool =
        test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
    test_launcher_assert_exit(tool, status);
    return g_strdup(status == 0 ? tool->out->str : tool->err->str);
}

/* Returns: the process that has the exclusive region */
static pid_t find_holder(const TestSandbox *sandbox)
{
    g_autofree char *json = run(sandbox, "CVD_CLIENT", 0, "info", "sensors", "--json", NULL);
    g_autoptr(JsonNode) root = json_from_string(json, NULL);

    return (pid_t)json_object_get_int_member(json_node_get_object(root), "holder_pid");
}

/* A program that would not find the socket. */
#define ALONE "'env', '-u', 'CVD_CLIENT_SOCKET', 'CVD_RUNTIME_DIR=/nonexistent', "

static void test_open(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        launch(sandbox, "'argv': [" ALONE "'TOOL', 'ping', 'sensors', '-c', '3'],"
                        " 'regions': ['misc', 'sensors'], 'restart': 'never'");

    test_process_wait_err(launcher, "a: 3: time", 1);
    test_launcher_wait_running(launcher);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* Each of the script's programs has what the script was given. */
static void test_shell_script(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        launch(sandbox,
               "'argv': [" ALONE "'sh', '-c', 'TOOL ping sensors -c 1 && TOOL ping sensors -c 2'],"
               " 'regions': ['sensors'], 'restart': 'never'");

    test_process_wait_err(launcher, "a: 1: time", 2);
    test_process_wait_err(launcher, "a: 2: time", 1);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

#define ENDLESS                                                                                    \
    "'argv': [" ALONE "'TOOL', 'ping', 'sensors', '-i', '0.2'],"                                   \
    " 'regions': ['sensors'], 'restart': 'always'"

/* The region is the program's, whoever else asks, and its successor's at once. */
static void test_killed(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = launch(sandbox, ENDLESS);

    test_process_wait_err(launcher, "a: 1: time", 1);
    pid_t first = find_holder(sandbox);
    g_autofree char *holder = g_strdup_printf("exclusive, and pid %d (cvd-client) has it", first);
    g_autofree char *refusal = run(sandbox, "CVD_CLIENT", 1, "ping", "sensors", "-c", "1", NULL);
    g_assert_nonnull(strstr(refusal, holder));
    g_autofree char *clients = run(sandbox, "CVD_CTL", 0, "clients", NULL);
    g_autofree char *pid = g_strdup_printf("%d", first);
    g_assert_nonnull(strstr(clients, pid));

    g_assert_no_errno(kill(first, SIGKILL));
    test_process_wait_err(launcher, "a: 1: time", 2);
    g_assert_cmpint(find_holder(sandbox), !=, first);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* A region that is no longer valid is a reason to start its program anew, with one that is. */
static void test_begins_anew(gconstpointer data)
{
    const char *verb = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = launch(sandbox, ENDLESS);

    test_process_wait_err(launcher, "a: 1: time", 1);
    test_launcher_wait_running(launcher);
    g_free(run(sandbox, "CVD_CTL", 0, verb, NULL));
    test_process_wait_err(launcher, "program a: stopping", 1);
    test_process_wait_err(launcher, "a: 1: time", 2);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/inherited/open", NULL, test_open);
    test_add("/inherited/shell-script", NULL, test_shell_script);
    test_add("/inherited/killed", NULL, test_killed);
    test_add("/inherited/reset", "reset", test_begins_anew);
    test_add("/inherited/restart", "restart", test_begins_anew);
    return g_test_run();
}
