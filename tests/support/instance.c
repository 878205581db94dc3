/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/instance.h"

#include "tests/support/vm.h"

TestInstance *test_instance_new(const char *name)
{
    TestInstance *instance = g_new0(TestInstance, 1);

    instance->name = name;
    instance->sandbox = test_sandbox_new();
    instance->client_socket = test_sandbox_instance_path(instance->sandbox, name, "client.sock");
    instance->vm_socket = test_sandbox_instance_path(instance->sandbox, name, "vm.sock");
    return instance;
}

TestInstance *test_instance_start(const char *name, const char *const *args)
{
    static const char *const none[] = {NULL};
    TestInstance *instance = test_instance_new(name);

    instance->launcher =
        test_launch_with(instance->sandbox, name, args != NULL ? args : none, NULL, NULL);
    return instance;
}

TestInstance *test_instance_boot(const char *name, const char *const *args)
{
    TestInstance *instance = test_instance_start(name, args);

    test_instance_wait_guest(instance, 1);
    return instance;
}

TestInstance *test_instance_serve(const char *name)
{
    TestInstance *instance = test_instance_new(name);

    instance->launcher = test_serve_only(instance->sandbox, name);
    return instance;
}

void test_instance_wait_guest(TestInstance *instance, guint n)
{
    test_process_wait_err(instance->launcher, ": running after ", n);
    test_launcher_wait_guest(instance->sandbox, instance->name, n);
}

void test_instance_ended(TestInstance *instance, int status, TestLeft left)
{
    test_launcher_assert_exit(instance->launcher, status);
    g_assert_cmpstr(instance->launcher->out->str, ==, "");
    test_sandbox_assert_clean(instance->sandbox, left);
}

void test_instance_stop(TestInstance *instance, int number)
{
    test_process_signal(instance->launcher, number);
    test_instance_ended(instance, 0, TEST_NOTHING_LEFT);
}

void test_instance_free(TestInstance *instance)
{
    g_clear_pointer(&instance->launcher, test_process_free);
    test_sandbox_free(instance->sandbox);
    g_free(instance->client_socket);
    g_free(instance->vm_socket);
    g_free(instance);
}
