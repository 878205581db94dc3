/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/stream-log.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    CvdStreamLog *log;
    int writer; /* QEMU's end */
    int file;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    f->file = memfd_create("log", MFD_CLOEXEC);
    f->writer = pair[1];
    f->log = cvd_stream_log_new(pair[0], dup(f->file));
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_stream_log_free(f->log);
    cvd_close_fd(&f->writer);
    cvd_close_fd(&f->file);
}

static void say(Fixture *f, const char *text, gsize size)
{
    while (size > 0) {
        gssize n = send(f->writer, text, size, MSG_DONTWAIT);
        if (n > 0) {
            text += n;
            size -= (gsize)n;
        }
        while (g_main_context_iteration(NULL, FALSE))
            ;
    }
}

static char *content(Fixture *f, gsize *size)
{
    struct stat st;
    g_assert_no_errno(fstat(f->file, &st));
    char *text = g_malloc((gsize)st.st_size + 1);
    g_assert_cmpint(pread(f->file, text, (gsize)st.st_size, 0), ==, st.st_size);
    text[st.st_size] = '\0';
    *size = (gsize)st.st_size;
    return text;
}

static void test_copy(Fixture *f, gconstpointer data)
{
    gsize size;
    say(f, "one\ntwo\n", 8);
    say(f, "three", 5);
    g_autofree char *text = content(f, &size);
    g_assert_cmpstr(text, ==, "one\ntwo\nthree");
}

/* At the limit all is there; one byte more, and the newer half is. */
static void test_bound(Fixture *f, gconstpointer data)
{
    gsize size;
    g_autofree char *bytes = g_malloc(CVD_STREAM_LOG_MAX_SIZE + 1);
    for (gsize i = 0; i <= CVD_STREAM_LOG_MAX_SIZE; i++)
        bytes[i] = (char)('a' + i / 7 % 26);

    say(f, bytes, CVD_STREAM_LOG_MAX_SIZE);
    g_autofree char *all = content(f, &size);
    g_assert_cmpmem(all, size, bytes, CVD_STREAM_LOG_MAX_SIZE);

    say(f, bytes + CVD_STREAM_LOG_MAX_SIZE, 1);
    g_autofree char *newer = content(f, &size);
    g_assert_cmpuint(size, ==, CVD_STREAM_LOG_MAX_SIZE / 2 + 1);
    g_assert_cmpmem(newer, size, bytes + CVD_STREAM_LOG_MAX_SIZE / 2, size);
}

static void test_rest(Fixture *f, gconstpointer data)
{
    gsize size;
    g_assert_cmpint(write(f->writer, "last words\n", 11), ==, 11);
    cvd_close_fd(&f->writer);
    cvd_stream_log_read_rest(f->log);
    cvd_stream_log_read_rest(f->log);
    g_autofree char *text = content(f, &size);
    g_assert_cmpstr(text, ==, "last words\n");
}

static void test_tail(Fixture *f, gconstpointer data)
{
    g_auto(GStrv) nothing = cvd_stream_log_tail(f->log, 3);
    g_assert_cmpuint(g_strv_length(nothing), ==, 0);

    say(f, "1\n2\n3\n4\n", 8);
    g_auto(GStrv) three = cvd_stream_log_tail(f->log, 3);
    g_auto(GStrv) nine = cvd_stream_log_tail(f->log, 9);
    g_assert_cmpstrv(three, ((const char *const[]){"2", "3", "4", NULL}));
    g_assert_cmpstrv(nine, ((const char *const[]){"1", "2", "3", "4", NULL}));
}

/* The guest's bytes reach stdout, what is typed reaches the guest; stdout may be full. */
static void test_relay(void)
{
    int in[2], out[2], guest[2];
    char text[64] = "";

    g_assert_no_errno(pipe2(in, O_CLOEXEC));
    g_assert_no_errno(pipe2(out, O_CLOEXEC));
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, guest));
    int saved_in = dup(STDIN_FILENO), saved_out = dup(STDOUT_FILENO);
    dup2(in[0], STDIN_FILENO);
    fflush(stdout);
    dup2(out[1], STDOUT_FILENO);
    CvdStreamLog *log = cvd_stream_log_new(guest[0], memfd_create("log", MFD_CLOEXEC));
    cvd_stream_log_relay(log);
    dup2(saved_out, STDOUT_FILENO);

    g_assert_cmpint(write(in[1], "typed", 5), ==, 5);
    g_assert_cmpint(write(guest[1], "printed", 7), ==, 7);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpint(recv(guest[1], text, sizeof text, MSG_DONTWAIT), ==, 5);
    g_assert_cmpint(strncmp(text, "typed", 5), ==, 0);
    g_assert_cmpint(read(out[0], text, sizeof text), ==, 7);
    g_assert_cmpint(strncmp(text, "printed", 7), ==, 0);

    g_autofree char *flood = g_strnfill(1024 * 1024, 'x'); /* many times what a pipe holds */
    for (gsize n = 0; n < 1024 * 1024;) {
        gssize r = send(guest[1], flood + n, 1024 * 1024 - n, MSG_DONTWAIT);
        n += (gsize)MAX(r, 0);
        while (g_main_context_iteration(NULL, FALSE))
            ;
    }

    cvd_stream_log_free(log);
    dup2(saved_in, STDIN_FILENO);
    int fds[] = {in[0], in[1], out[0], out[1], guest[1], saved_in, saved_out};
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}

/* QEMU shuts its end for reading: what is typed is dropped, and nobody waits for room in vain. */
static void test_relay_to_the_deaf(void)
{
    int in[2], guest[2];

    g_assert_no_errno(pipe2(in, O_CLOEXEC));
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, guest));
    int saved_in = dup(STDIN_FILENO);
    dup2(in[0], STDIN_FILENO);
    CvdStreamLog *log = cvd_stream_log_new(guest[0], memfd_create("log", MFD_CLOEXEC));
    cvd_stream_log_relay(log);

    g_assert_no_errno(shutdown(guest[1], SHUT_RD));
    g_assert_cmpint(write(in[1], "typed", 5), ==, 5);
    guint n_iterations = 0;
    while (g_main_context_iteration(NULL, FALSE))
        g_assert_cmpuint(++n_iterations, <, 100);

    cvd_stream_log_free(log);
    dup2(saved_in, STDIN_FILENO);
    int fds[] = {in[0], in[1], guest[1], saved_in};
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}

/* Somebody who has inherited QEMU's output goes on writing: the rest has an end all the same. */
static void test_rest_without_end(Fixture *f, gconstpointer data)
{
    cvd_autofd endless = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    g_autoptr(CvdStreamLog) log = cvd_stream_log_new(g_steal_fd(&endless), dup(f->file));
    gsize size;

    cvd_stream_log_read_rest(log);
    g_free(content(f, &size));
    g_assert_cmpuint(size, ==, CVD_STREAM_LOG_MAX_SIZE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/stream-log/copy", Fixture, NULL, set_up, test_copy, tear_down);
    g_test_add("/stream-log/1-mib-and-one-more", Fixture, NULL, set_up, test_bound, tear_down);
    g_test_add("/stream-log/last-words", Fixture, NULL, set_up, test_rest, tear_down);
    g_test_add("/stream-log/last-words-without-end", Fixture, NULL, set_up, test_rest_without_end,
               tear_down);
    g_test_add("/stream-log/tail", Fixture, NULL, set_up, test_tail, tear_down);
    g_test_add_func("/stream-log/relay", test_relay);
    g_test_add_func("/stream-log/relay-to-a-qemu-that-does-not-read", test_relay_to_the_deaf);
    return g_test_run();
}
