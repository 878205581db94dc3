/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/**
 * test_serve_only:
 * @sandbox: where
 * @name: the instance's name
 *
 * Starts `cvd-launch --serve-only` on the project's own `conf/cvd.json` and waits until it serves.
 */
TestProcess *test_serve_only(const TestSandbox *sandbox, const char *name);

/**
 * test_vm_start:
 * @sandbox: where
 * @...: the arguments of cvd-vm, %NULL at the end
 */
TestProcess *test_vm_start(const TestSandbox *sandbox, ...) G_GNUC_NULL_TERMINATED;
/** test_vm_wait_ready: waits until it serves */
void test_vm_wait_ready(TestProcess *vm);

G_END_DECLS
