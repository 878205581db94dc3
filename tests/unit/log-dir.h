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

/** test_settle: iterates the default context until nothing is to be done, and no timer is on */
void test_settle(void);

/**
 * TestTrickle:
 *
 * A thread that writes to a socket, as fast as it takes them, single bytes.
 */
typedef struct {
    int fd;
    guint n_bytes;
    GThread *thread;
    int is_done;
} TestTrickle;

void test_trickle_start(TestTrickle *trickle, int fd, guint n_bytes);
/** test_trickle_read: iterates until all is written; Returns: how often in a millisecond */
guint test_trickle_read(TestTrickle *trickle);

/** test_busy_source: a source that is always ready, like clients that are never silent */
GSource *test_busy_source(void);

G_END_DECLS
