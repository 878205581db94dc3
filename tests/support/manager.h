/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/**
 * TestManager:
 * @notices: what it has been sent so far, a line for each assignment
 *
 * A service manager: it listens at `$NOTIFY_SOCKET`.
 */
typedef struct {
    GString *notices;
    /*< private >*/
    int fd;
} TestManager;

/** test_manager_new: whoever is started until test_manager_hide() is a service of it */
TestManager *test_manager_new(const TestSandbox *sandbox);
void test_manager_hide(TestManager *manager);
void test_manager_free(TestManager *manager);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestManager, test_manager_free)

/** test_manager_receive: waits until @last stands in the notices */
void test_manager_receive(TestManager *manager, const char *last);

G_END_DECLS
