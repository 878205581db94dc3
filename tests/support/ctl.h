/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/** test_ctl: starts cvd-ctl. @...: its arguments, %NULL at the end */
TestProcess *test_ctl(const TestSandbox *sandbox, ...) G_GNUC_NULL_TERMINATED;
/** test_ctl_finish: waits for its end, with that exit status. Returns: (transfer full): what it has
 * printed to stdout */
char *test_ctl_finish(TestProcess *take_ctl, int status);
/** test_ctl_done: the same, with exit status 0 */
void test_ctl_done(TestProcess *take_ctl);

G_END_DECLS
