/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/launcher.h"

G_BEGIN_DECLS

/**
 * TestInstance:
 * @name: its name
 * @sandbox: a sandbox of its own
 * @launcher: (nullable): cvd-launch, once it has been started
 * @client_socket: path
 * @vm_socket: path
 *
 * One launch and what is asked of it.
 */
typedef struct {
    const char *name;
    TestSandbox *sandbox;
    TestProcess *launcher;
    char *client_socket;
    char *vm_socket;
} TestInstance;

/** test_instance_new: @name: a string that is not freed; nothing is started yet */
TestInstance *test_instance_new(const char *name);
/** test_instance_start: @args: further arguments of cvd-launch, with %NULL at the end, or %NULL */
TestInstance *test_instance_start(const char *name, const char *const *args);
/** test_instance_boot: the same, and waits until the guest serves */
TestInstance *test_instance_boot(const char *name, const char *const *args);
/** test_instance_serve: `cvd-launch --serve-only`, which serves */
TestInstance *test_instance_serve(const char *name);
/** test_instance_wait_guest: waits until the @n-th VM runs, and its guest serves */
void test_instance_wait_guest(TestInstance *instance, guint n);
/** test_instance_ended: waits for the end, and compares its status and what is left */
void test_instance_ended(TestInstance *instance, int status, TestLeft left);
/** test_instance_stop: sends @number and waits for the end, with status 0 and nothing left */
void test_instance_stop(TestInstance *instance, int number);
void test_instance_free(TestInstance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestInstance, test_instance_free)

G_END_DECLS
