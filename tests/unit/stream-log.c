/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/stream-log.h"
#include "tests/unit/log-dir.h"

#include "base/fd.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    TestLogDir logs;
    CvdLogFile *log;
    CvdStreamLog *stream;
    int writer; /* QEMU's end */
} Fixture;

static void connect_stream(Fixture *f)
{
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    f->writer = pair[1];
    f->stream = cvd_stream_log_new(pair[0], f->log);
}

static void disconnect_stream(Fixture *f)
{
    cvd_stream_log_free(f->stream);
    cvd_close_fd(&f->writer);
}

static void set_up(Fixture *f, gconstpointer data)
{
    test_log_dir_open(&f->logs);
    f->log = cvd_log_file_new(f->logs.dir, "qemu.log", NULL);
    connect_stream(f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    disconnect_stream(f);
    cvd_log_file_free(f->log);
    test_log_dir_close(&f->logs);
}

static void say(Fixture *f, const char *text)
{
    g_assert_cmpint(send(f->writer, text, strlen(text), 0), ==, (gssize)strlen(text));
    test_settle();
}

static void assert_log(const Fixture *f, const char *expected)
{
    g_autoptr(GBytes) content = test_log_dir_read(&f->logs, "qemu.log");

    g_assert_cmpmem(g_bytes_get_data(content, NULL), g_bytes_get_size(content), expected,
                    strlen(expected));
}

static void test_copy(Fixture *f, gconstpointer data)
{
    say(f, "one\ntwo\n");
    say(f, "three");
    assert_log(f, "one\ntwo\nthree");
}

static void test_nul(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(send(f->writer, "a\0b", 3, 0), ==, 3);
    say(f, "\nwhy\n");
    assert_log(f, "a?b\nwhy\n");
}

static void test_rest(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(write(f->writer, "last words\n", 11), ==, 11);
    cvd_close_fd(&f->writer);
    cvd_stream_log_read_rest(f->stream);
    cvd_stream_log_read_rest(f->stream);
    assert_log(f, "last words\n");
}

static void test_next_stream(Fixture *f, gconstpointer data)
{
    say(f, "first\n");
    disconnect_stream(f);
    connect_stream(f);
    say(f, "second\n");
    assert_log(f, "first\nsecond\n");
}

static gpointer write_for_ever(gpointer data)
{
    g_autofree char *bytes = g_strnfill(65536, 'x');

    while (send(GPOINTER_TO_INT(data), bytes, 65536, MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

/* Somebody who has inherited QEMU's output goes on writing: the rest has an end all the same. */
static void test_rest_without_end(Fixture *f, gconstpointer data)
{
    GThread *writer = g_thread_new("writer", write_for_ever, GINT_TO_POINTER(f->writer));

    cvd_stream_log_read_rest(f->stream);
    cvd_stream_log_free(f->stream);
    g_thread_join(writer);
    cvd_close_fd(&f->writer);
    connect_stream(f);
    say(f, "still here");
}

static void test_flood_of_single_bytes(Fixture *f, gconstpointer data)
{
    TestTrickle trickle;

    test_trickle_start(&trickle, f->writer, 20000);
    g_assert_cmpuint(test_trickle_read(&trickle), <=, 1);
}

static void test_fair_share(Fixture *f, gconstpointer data)
{
    g_autoptr(GSource) busy = test_busy_source();
    TestTrickle trickle;

    test_trickle_start(&trickle, f->writer, 1000);
    test_trickle_read(&trickle);
    g_source_destroy(busy);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/stream-log/copy", Fixture, NULL, set_up, test_copy, tear_down);
    g_test_add("/stream-log/nul", Fixture, NULL, set_up, test_nul, tear_down);
    g_test_add("/stream-log/last-words", Fixture, NULL, set_up, test_rest, tear_down);
    g_test_add("/stream-log/last-words-without-end", Fixture, NULL, set_up, test_rest_without_end,
               tear_down);
    g_test_add("/stream-log/next-stream", Fixture, NULL, set_up, test_next_stream, tear_down);
    g_test_add("/stream-log/flood-of-single-bytes", Fixture, NULL, set_up,
               test_flood_of_single_bytes, tear_down);
    g_test_add("/stream-log/fair-share", Fixture, NULL, set_up, test_fair_share, tear_down);
    return g_test_run();
}
