/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/console.h"
#include "tests/unit/log-dir.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    TestLogDir logs;
    CvdLogFile *log;
    CvdConsole *console;
    int guest; /* QEMU's end of the serial port */
} Fixture;

static void connect_guest(Fixture *f)
{
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
    f->guest = pair[1];
    cvd_console_take_vm(f->console, pair[0]);
}

static void set_up(Fixture *f, gconstpointer data)
{
    test_log_dir_open(&f->logs);
    f->log = cvd_log_file_new(f->logs.dir, "console.log", NULL);
    f->console = cvd_console_new(f->log);
    connect_guest(f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->console, cvd_console_free);
    cvd_close_fd(&f->guest);
    cvd_log_file_free(f->log);
    test_log_dir_close(&f->logs);
}

static void put(int fd, const char *text)
{
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
    test_settle();
}

/* Prints more than any buffer in between holds. */
static void print_much(Fixture *f, char c, gsize size)
{
    g_autofree char *bytes = g_strnfill(size, c);

    for (gsize n = 0; n < size;) {
        gssize r = send(f->guest, bytes + n, size - n, MSG_NOSIGNAL);
        n += (gsize)MAX(r, 0);
        test_settle();
    }
}

static char *get(int fd)
{
    GString *text = g_string_new(NULL);
    char bytes[65536];
    gssize n;

    do {
        while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            g_string_append_len(text, bytes, n);
        test_settle(); /* there may be more now */
        n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK);
    } while (n > 0);
    return g_string_free(text, FALSE);
}

static void assert_got(int fd, const char *expected)
{
    g_autofree char *text = get(fd);

    g_assert_cmpstr(text, ==, expected);
}

static int open_viewer(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    int fd = cvd_console_open_viewer(f->console, &error);

    g_assert_no_error(error);
    test_settle();
    return fd;
}

static void test_viewers(Fixture *f, gconstpointer data)
{
    put(f->guest, "past\n");
    cvd_autofd one = open_viewer(f);
    put(f->guest, "more\n");
    cvd_autofd two = open_viewer(f);
    put(f->guest, "now\n");
    assert_got(one, "past\nmore\nnow\n");
    assert_got(two, "past\nmore\nnow\n");

    put(one, "typed by one");
    put(two, ", by two");
    assert_got(f->guest, "typed by one, by two");
}

/* What the VM says last comes with the launcher's end. */
static void test_last_words(Fixture *f, gconstpointer data)
{
    cvd_autofd viewer = open_viewer(f);

    g_assert_cmpint(send(f->guest, "bye\n", 4, MSG_NOSIGNAL), ==, 4);
    cvd_console_read_rest(f->console);
    g_clear_pointer(&f->console, cvd_console_free);
    assert_got(viewer, "bye\n");
}

static void test_scroll_back(Fixture *f, gconstpointer data)
{
    print_much(f, 'a', 1000);
    print_much(f, 'b', CVD_CONSOLE_SCROLL_BACK);
    cvd_autofd viewer = open_viewer(f);
    g_autofree char *text = get(viewer);
    g_autofree char *expected = g_strnfill(CVD_CONSOLE_SCROLL_BACK, 'b');
    g_assert_cmpstr(text, ==, expected);
}

static void test_too_many(Fixture *f, gconstpointer data)
{
    int viewers[CVD_CONSOLE_MAX_VIEWERS];
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < CVD_CONSOLE_MAX_VIEWERS; i++)
        viewers[i] = open_viewer(f);
    g_assert_cmpint(cvd_console_open_viewer(f->console, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "detach one"));
    cvd_close_fd(&viewers[0]);
    test_settle();
    viewers[0] = open_viewer(f);
    for (guint i = 0; i < CVD_CONSOLE_MAX_VIEWERS; i++)
        cvd_close_fd(&viewers[i]);
}

/* One that does not read loses output and is told; the other one has all of it. */
static void test_slow_viewer(Fixture *f, gconstpointer data)
{
    cvd_autofd slow = open_viewer(f);
    const gsize size = 2 * 1024 * 1024;

    print_much(f, 'x', size);
    g_autofree char *text = get(slow);
    const char *told = strstr(text, "[cvd: ");
    g_assert_nonnull(told);
    guint64 n_lost = g_ascii_strtoull(told + strlen("[cvd: "), NULL, 10);
    gsize n_got = strspn(text, "x");
    g_assert_cmpuint(n_got + n_lost, ==, size);
    put(f->guest, "again");
    assert_got(slow, "again");
}

/* A guest that reads nothing makes the viewers wait, not us. */
static void test_flood_of_input(Fixture *f, gconstpointer data)
{
    cvd_autofd viewer = open_viewer(f);
    g_autofree char *bytes = g_strnfill(65536, 'y');
    gsize n_sent = 0;
    gssize n;

    do {
        n = send(viewer, bytes, 65536, MSG_DONTWAIT | MSG_NOSIGNAL);
        n_sent += (gsize)MAX(n, 0);
        test_settle();
    } while (n > 0);
    g_assert_cmpint(errno, ==, EAGAIN);
    put(f->guest, "still printing");
    assert_got(viewer, "still printing");

    gsize n_received = 0;
    while (n_received < n_sent) {
        g_autofree char *text = get(f->guest);
        n_received += strlen(text);
    }
    g_assert_cmpuint(n_received, ==, n_sent);
}

static void test_viewer_leaves(Fixture *f, gconstpointer data)
{
    cvd_autofd stays = open_viewer(f);
    int leaves = open_viewer(f);

    print_much(f, 'z', 1000); /* some of it is unread when it goes */
    cvd_close_fd(&leaves);
    put(f->guest, "!");
    g_autofree char *text = get(stays);
    g_assert_true(g_str_has_suffix(text, "z!"));
    leaves = open_viewer(f);
    g_assert_no_errno(shutdown(leaves, SHUT_RDWR));
    put(f->guest, "?");
    assert_got(stays, "?");
    cvd_close_fd(&leaves);
}

static void test_next_vm(Fixture *f, gconstpointer data)
{
    cvd_autofd viewer = open_viewer(f);

    g_assert_cmpint(send(f->guest, "last words\n", 11, 0), ==, 11);
    cvd_close_fd(&f->guest);
    cvd_console_read_rest(f->console);
    put(viewer, "to nobody");
    connect_guest(f);
    put(f->guest, "hello\n");
    put(viewer, "to the next");
    assert_got(viewer, "last words\nhello\n");
    assert_got(f->guest, "to the next");
}

/* It has ended with something of ours unread: the next read fails. */
static void test_vm_resets(Fixture *f, gconstpointer data)
{
    cvd_autofd viewer = open_viewer(f);

    put(viewer, "unread");
    cvd_close_fd(&f->guest);
    test_settle();
    connect_guest(f);
    put(f->guest, "hello\n");
    assert_got(viewer, "hello\n");
}

static void test_log(Fixture *f, gconstpointer data)
{
    put(f->guest, "one\ntwo\n");
    put(f->guest, "three");
    connect_guest(f);
    put(f->guest, "\nof the next");
    g_autoptr(GBytes) content = test_log_dir_read(&f->logs, "console.log");
    g_autofree char *text = g_strndup(g_bytes_get_data(content, NULL), g_bytes_get_size(content));
    g_assert_cmpstr(text, ==, "one\ntwo\nthree\nof the next");
}

static gpointer write_for_ever(gpointer data)
{
    g_autofree char *bytes = g_strnfill(65536, 'x');

    while (send(GPOINTER_TO_INT(data), bytes, 65536, MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

/* Somebody who has inherited QEMU's end goes on writing: the rest has an end all the same. */
static void test_rest_without_end(Fixture *f, gconstpointer data)
{
    cvd_autofd writer_fd = g_steal_fd(&f->guest);
    g_assert_true(g_unix_set_fd_nonblocking(writer_fd, FALSE, NULL));
    GThread *writer = g_thread_new("writer", write_for_ever, GINT_TO_POINTER(writer_fd));

    cvd_console_read_rest(f->console);
    connect_guest(f);
    g_thread_join(writer);
    cvd_autofd viewer = open_viewer(f);
    g_free(get(viewer));
    put(f->guest, "still here");
    assert_got(viewer, "still here");
}

typedef struct {
    int in[2], out[2];
    int saved_in, saved_out;
} Stdio;

/* stdin and stdout become pipes for as long as the console takes them. */
static void relay(Fixture *f, Stdio *stdio)
{
    g_assert_no_errno(pipe2(stdio->in, O_CLOEXEC));
    g_assert_no_errno(pipe2(stdio->out, O_CLOEXEC));
    stdio->saved_in = dup(STDIN_FILENO);
    stdio->saved_out = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(stdio->in[0], STDIN_FILENO);
    dup2(stdio->out[1], STDOUT_FILENO);
    cvd_console_relay_stdio(f->console);
    dup2(stdio->saved_out, STDOUT_FILENO);
}

static void unrelay(Fixture *f, Stdio *stdio)
{
    g_clear_pointer(&f->console, cvd_console_free);
    dup2(stdio->saved_in, STDIN_FILENO);
    int fds[] = {stdio->in[0],  stdio->in[1],    stdio->out[0],
                 stdio->out[1], stdio->saved_in, stdio->saved_out};
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}

/* The guest's bytes reach stdout, what is typed reaches the guest; stdout may be full. */
static void test_stdio(Fixture *f, gconstpointer data)
{
    Stdio stdio;
    char text[64] = "";

    relay(f, &stdio);
    g_assert_cmpint(write(stdio.in[1], "typed", 5), ==, 5);
    put(f->guest, "printed");
    assert_got(f->guest, "typed");
    g_assert_cmpint(read(stdio.out[0], text, sizeof text), ==, 7);
    g_assert_cmpint(strncmp(text, "printed", 7), ==, 0);
    print_much(f, 'x', 1024 * 1024); /* many times what a pipe holds */
    unrelay(f, &stdio);
}

/* QEMU shuts its end for reading: what is typed is dropped, and nobody waits for room in vain. */
static void test_deaf_guest(Fixture *f, gconstpointer data)
{
    Stdio stdio;

    relay(f, &stdio);
    g_assert_no_errno(shutdown(f->guest, SHUT_RD));
    g_assert_cmpint(write(stdio.in[1], "typed", 5), ==, 5);
    test_settle();
    unrelay(f, &stdio);
}

/* Returns: a viewer that has typed more than the guest, which takes nothing, leaves room for */
static int open_typist(Fixture *f)
{
    g_autofree char *bytes = g_strnfill(65536, 't');
    int fd = open_viewer(f);

    while (send(fd, bytes, 65536, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        test_settle();
    return fd;
}

/* Those who leave while the guest takes nothing are not read any more, but make room. */
static void test_viewers_leave_deaf_guest(Fixture *f, gconstpointer data)
{
    int fds[CVD_CONSOLE_MAX_VIEWERS];

    for (guint round = 0; round < 2; round++) {
        for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
            fds[i] = round == 0 ? open_typist(f) : open_viewer(f);
        g_assert_cmpint(cvd_console_open_viewer(f->console, NULL), ==, -1);
        for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
            cvd_close_fd(&fds[i]);
        test_settle();
    }
}

/* A guest's serial port writes byte by byte: that many wake-ups would keep a processor busy. */
static void test_flood_of_single_bytes(Fixture *f, gconstpointer data)
{
    TestTrickle trickle;

    test_trickle_start(&trickle, f->guest, 20000);
    g_assert_cmpuint(test_trickle_read(&trickle), <=, 1);
}

/* Whoever is always busy takes his turn, not that of others. */
static void test_fair_share(Fixture *f, gconstpointer data)
{
    g_autoptr(GSource) busy = test_busy_source();
    TestTrickle trickle;

    test_trickle_start(&trickle, f->guest, 1000);
    test_trickle_read(&trickle);
    g_source_destroy(busy);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/console/viewers", test_viewers);
    add("/console/last-words", test_last_words);
    add("/console/scroll-back", test_scroll_back);
    add("/console/8-viewers-and-one-more", test_too_many);
    add("/console/slow-viewer", test_slow_viewer);
    add("/console/flood-of-input", test_flood_of_input);
    add("/console/viewer-leaves", test_viewer_leaves);
    add("/console/next-vm", test_next_vm);
    add("/console/vm-resets", test_vm_resets);
    add("/console/log", test_log);
    add("/console/last-words-without-end", test_rest_without_end);
    add("/console/stdio", test_stdio);
    add("/console/deaf-guest", test_deaf_guest);
    add("/console/viewers-leave-deaf-guest", test_viewers_leave_deaf_guest);
    add("/console/flood-of-single-bytes", test_flood_of_single_bytes);
    add("/console/fair-share", test_fair_share);
    return g_test_run();
}
