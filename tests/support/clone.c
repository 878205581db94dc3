/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/clone.h"

#include "tests/support/ctl.h"
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>

void test_save(const TestSandbox *sandbox, const char *instance, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *name = g_strconcat("--name=", instance, NULL);
    va_list arguments;
    char *argument;

    g_ptr_array_add(argv, (char *)g_getenv("CVD_CTL"));
    g_ptr_array_add(argv, name);
    g_ptr_array_add(argv, (char *)"snapshot");
    va_start(arguments, instance);
    while ((argument = va_arg(arguments, char *)) != NULL)
        g_ptr_array_add(argv, argument);
    va_end(arguments);
    g_ptr_array_add(argv, NULL);
    test_ctl_done(test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL));
}

char *test_snapshot_path(const TestSandbox *sandbox, const char *name)
{
    return g_build_filename(sandbox->dir, "snapshots", name, NULL);
}

TestClone *test_clone_start(const TestSandbox *sandbox, const char *name, const char *from,
                            const char *const *args)
{
    TestClone *clone = g_new(TestClone, 1);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *fixed[] = {test_launcher_path(), "--from", from, "--name", name};

    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (char *)fixed[i]);
    for (; args != NULL && *args != NULL; args++)
        g_ptr_array_add(argv, (char *)*args);
    g_ptr_array_add(argv, NULL);
    *clone = (TestClone){
        .sandbox = sandbox,
        .name = g_strdup(name),
        .launcher = test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL),
        .client_socket = test_sandbox_instance_path(sandbox, name, "client.sock"),
    };
    return clone;
}

TestClone *test_clone_run(const TestSandbox *sandbox, const char *name, const char *from,
                          const char *const *args)
{
    TestClone *clone = test_clone_start(sandbox, name, from, args);

    test_clone_wait_running(clone, 1);
    return clone;
}

void test_clone_wait_running(const TestClone *clone, guint n)
{
    test_process_wait_err(clone->launcher, ": running after ", n);
}

void test_clone_assert_not_booted(const TestClone *clone)
{
    g_autofree char *path = test_sandbox_instance_path(clone->sandbox, clone->name, "console.log");
    g_autofree char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    if (text != NULL && strstr(text, "cvd-guest: ready") != NULL)
        test_process_fail(clone->launcher, "the guest has booted: %s", text);
}

char *test_clone_ctl(const TestClone *clone, const char *verb, const char *argument)
{
    g_autofree char *name = g_strconcat("--name=", clone->name, NULL);

    return test_ctl_finish(test_ctl(clone->sandbox, name, verb, argument, NULL), 0);
}

void test_clone_stop(const TestClone *clone)
{
    test_launcher_stop(clone->launcher, SIGINT);
}

void test_clone_free(TestClone *clone)
{
    test_process_free(clone->launcher);
    g_free(clone->client_socket);
    g_free(clone->name);
    g_free(clone);
}
