/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/client-session.h"
#include "server/doorbells.h"
#include "server/layout.h"

#include <glib.h>

G_BEGIN_DECLS

/*
 * What the conversation tests share: a layout, the other end of a socket, and a log that is looked
 * at. Every wait is for bytes or for an event; a test that waits for ever is ended by the runner.
 */

/** test_layout_new: @n regions of 4096 bytes, `region0` and so on. */
CvdLayout *test_layout_new(guint n);
/** test_window_new: Returns: a descriptor of memory as large as @layout's window */
int test_window_new(const CvdLayout *layout);

/** test_served: Returns: all of it, for whomever @access lets have it */
CvdServed test_served(const CvdLayout *layout, const CvdDoorbells *doorbells, int window_fd,
                      const CvdAccessRules *access);

/** test_log_capture: From now on the log's lines are kept, and no warning is fatal. */
void test_log_capture(void);
/** test_log_count: Returns: how many lines since the last test_log_forget() contain @part, or have
 * such a field: `CVD_REGION=region0` */
guint test_log_count(const char *part);
void test_log_forget(void);

/** test_count_fds: Returns: how many descriptors this process has open */
guint test_count_fds(void);
/**
 * test_may_lower_fd_limit:
 *
 * Returns: whether RLIMIT_NOFILE is the kernel's business; else the test is marked as skipped
 */
gboolean test_may_lower_fd_limit(void);
/** test_with_low_fd_limit: calls @run, which ends its process, in a child; skips if limits are
 * fixed */
void test_with_low_fd_limit(void (*run)(void));
/** test_is_doorbell: Returns: whether ringing @fd rings @doorbell; takes the ring back */
gboolean test_is_doorbell(int fd, int doorbell);
/** test_is_window: Returns: whether what is written through @fd can be read through @window */
gboolean test_is_window(int fd, int window);
/** test_assert_read_only: Nothing that a reader must not do can be done with @fd. */
void test_assert_read_only(int fd);

/**
 * test_mount_tmpfs:
 * @options: (nullable): of the file system
 *
 * Hides @directory behind an empty file system, for the calling process alone.
 *
 * Returns: whether this user may
 */
gboolean test_mount_tmpfs(const char *directory, const char *options);

/** test_listen: Returns: a non-blocking socket that listens at @path */
int test_listen(const char *path);
/** test_connect: Returns: a non-blocking connection to @path */
int test_connect(const char *path);

/** test_send: Sends all of it at once, with @fd attached unless that is −1. */
void test_send(int peer, const void *bytes, gsize size, int fd);
/**
 * test_receive:
 * @context: (nullable): iterated until so much has come; %NULL: it has to be there
 *
 * Returns: the descriptor that came with those bytes, or −1; the caller's
 */
int test_receive(GMainContext *context, int peer, void *bytes, gsize size);
/** test_expect: Receives as many bytes as @text has, without a descriptor, and compares. */
void test_expect(GMainContext *context, int peer, const char *text);
/** test_expect_end: Nothing but the end of the stream follows: no byte, no reset. */
void test_expect_end(GMainContext *context, int peer);

#define test_iterate_until(context, condition)                                                     \
    G_STMT_START                                                                                   \
    {                                                                                              \
        while (!(condition))                                                                       \
            g_main_context_iteration((context), TRUE);                                             \
    }                                                                                              \
    G_STMT_END

/**
 * TestTalk:
 * @peer: the client's end
 * @access: this user may everything; a test may put other rules in the service
 * @now_us: the time that the session is told
 * @events: `A(name)` for each attachment, `C` for the close
 *
 * A session without a main loop, so that every step and the time are the test's.
 */
typedef struct {
    CvdLayout *layout;
    CvdDoorbells *doorbells;
    int window_fd;
    CvdAccessRules *access;
    CvdClientService service;
    CvdClientSession session;
    int peer;
    gint64 now_us;
    GString *events;
} TestTalk;

#define TEST_TIMEOUT_US (5 * G_USEC_PER_SEC)

TestTalk *test_talk_new(CvdDialect dialect, guint n_regions);
void test_talk_free(TestTalk *talk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestTalk, test_talk_free)

/** test_talk_run: Runs the session until it has read what there is, or has to wait for output. */
CvdSessionWants test_talk_run(TestTalk *talk);
/** test_talk_say: Sends to the session and runs it. */
CvdSessionWants test_talk_say(TestTalk *talk, const void *bytes, gsize size);
/** test_talk_hear: Compares what has come from the session, without a descriptor. */
void test_talk_hear(TestTalk *talk, const char *text);
/** test_talk_hear_region: Messages 5b to 9 for that region. */
void test_talk_hear_region(TestTalk *talk, guint region);

G_END_DECLS
