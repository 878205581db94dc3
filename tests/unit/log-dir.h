/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/log-file.h"

G_BEGIN_DECLS

/**
 * TestLogDir:
 * @runtime: a directory of its own below /tmp
 * @dir: an instance's directory in it
 *
 * Where a unit test's logs are.
 */
typedef struct {
    char *runtime;
    CvdInstanceDir *dir;
} TestLogDir;

void test_log_dir_open(TestLogDir *logs);
/** test_log_dir_close: removes all of it */
void test_log_dir_close(TestLogDir *logs);
/** test_log_dir_read: Returns: (transfer full): a file's content; %NULL: there is no such file */
GBytes *test_log_dir_read(const TestLogDir *logs, const char *name);

G_END_DECLS
