/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of QMP streams, good and hostile ones, and a QEMU: the test plays all of them. */
#include "launcher/qemu/qmp-streams.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define VERSION      "{\"qemu\":{\"major\":7},\"package\":\"\"}"
#define GREETING     "{\"QMP\": {\"version\": " VERSION ", \"capabilities\": []}}\r\n"
#define CAPABILITIES "{\"execute\":\"qmp_capabilities\"}\n"
#define DONE         "{\"return\": {}}\r\n"

typedef struct {
    CvdQmp *qmp;
    CvdQmpStreams *streams;
    int qemu;            /* QEMU's end */
    int client;          /* of a stream, after the negotiation */
    GString *passed_on;  /* names, each followed by a space */
    guint n_own_replies; /* to the launcher's own commands */
} Fixture;

static void on_ready(gpointer data)
{
}

static void on_event(const char *name, JsonObject *members, const char *text, gpointer data)
{
}

static void on_event_text(CvdJsonSpan event, gpointer data)
{
    cvd_qmp_streams_send_event(((Fixture *)data)->streams, event);
}

static void on_passed_on(const char *name, gpointer data)
{
    g_string_append_printf(((Fixture *)data)->passed_on, "%s ", name);
}

static void on_closed(const GError *error, gpointer data)
{
    cvd_qmp_streams_end(((Fixture *)data)->streams);
}

static void on_own_reply(CvdJsonSpan result, const GError *error, gpointer data)
{
    ((Fixture *)data)->n_own_replies++;
}

static void run_until_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void say(int fd, const char *text)
{
    for (gsize n = 0, size = strlen(text); n < size;) {
        gssize sent = send(fd, text + n, size - n, MSG_DONTWAIT | MSG_NOSIGNAL);
        g_assert_true(sent > 0 || errno == EAGAIN);
        n += (gsize)MAX(sent, 0);
        run_until_idle();
    }
}

static char *hear(int fd)
{
    GString *heard = g_string_new(NULL);
    char bytes[65536];

    for (;;) {
        run_until_idle();
        gssize n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n <= 0)
            return g_string_free(heard, FALSE);
        g_string_append_len(heard, bytes, n);
    }
}

static void assert_heard(int fd, const char *text)
{
    g_autofree char *heard = hear(fd);

    g_assert_cmpstr(heard, ==, text);
}

static void assert_refused(int fd, const char *why)
{
    g_autofree char *heard = hear(fd);

    g_assert_true(g_str_has_prefix(heard, "{\"error\": {"));
    g_assert_nonnull(strstr(heard, why));
}

/* Nothing comes but the end. */
static void assert_ended(int fd)
{
    char byte;

    run_until_idle();
    g_assert_cmpint(recv(fd, &byte, 1, MSG_DONTWAIT), ==, 0);
}

static int open_stream(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    int fd = cvd_qmp_streams_open(f->streams, &error);

    g_assert_no_error(error);
    assert_heard(fd, GREETING);
    return fd;
}

static int open_negotiated(Fixture *f)
{
    int fd = open_stream(f);

    say(fd, CAPABILITIES);
    assert_heard(fd, DONE);
    return fd;
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready,
        .event = on_event,
        .event_text = on_event_text,
        .passed_on = on_passed_on,
        .closed = on_closed,
    };
    int pair[2];

    test_log_forget();
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    *f = (Fixture){.qemu = pair[1], .passed_on = g_string_new(NULL)};
    f->qmp = cvd_qmp_new(pair[0], &handlers, f);
    f->streams = cvd_qmp_streams_new(f->qmp);
    say(f->qemu, "{\"QMP\": {\"version\": " VERSION ", \"capabilities\": [\"oob\"]}}\r\n");
    say(f->qemu, "{\"return\": {}, \"id\": 1}\r\n");
    g_free(hear(f->qemu));
    f->client = open_negotiated(f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    guint n_fds = test_count_fds();

    cvd_close_fd(&f->client);
    cvd_qmp_streams_free(f->streams);
    cvd_qmp_free(f->qmp);
    cvd_close_fd(&f->qemu);
    g_assert_cmpuint(test_count_fds(), <, n_fds);
    g_string_free(f->passed_on, TRUE);
}

/* ---- Conversations ---- */

static void test_command(Fixture *f, gconstpointer data)
{
    say(f->client, "{\"execute\": \"query-status\", \"id\": \"a\"}\n");
    assert_heard(f->qemu, "{\"execute\":\"query-status\",\"id\":2}\n");
    say(f->qemu, "{\"return\": {\"big\": 18446744073709551615}, \"id\": 2}\r\n");
    assert_heard(f->client, "{\"return\": {\"big\": 18446744073709551615}, \"id\": \"a\"}\r\n");
    say(f->client, "{\"execute\": \"stop\"}");
    assert_heard(f->qemu, "{\"id\":3,\"execute\":\"stop\"}\n");
    say(f->qemu, "{\"return\": {}, \"id\": 3}\r\n");
    assert_heard(f->client, DONE);
    g_assert_cmpstr(f->passed_on->str, ==, "\"query-status\" \"stop\" ");
}

/* As QEMU says it, with its class; also that of a command that QEMU could not parse. */
static void test_error(Fixture *f, gconstpointer data)
{
    say(f->client, "{\"execute\": \"a\", \"id\": 1}{\"execute\": \"b\", \"id\": 2}");
    say(f->qemu, "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no\"}, \"id\": 2}\r\n");
    say(f->qemu, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON\"}}\r\n");
    assert_heard(f->client,
                 "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no\"}, \"id\": 1}\r\n"
                 "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON\"}, \"id\": 2}\r\n");
}

/* Every place where what a client says can be cut in two. */
static void test_split(Fixture *f, gconstpointer data)
{
    static const char talk[] = "{\"execute\":\"a\",\"id\":\"}\"} {\"id\":1}";

    for (gsize cut = 1; cut < sizeof talk - 1; cut++) {
        g_autofree char *first = g_strndup(talk, cut);
        g_autofree char *reply =
            g_strdup_printf("{\"return\": 1, \"id\": %" G_GSIZE_FORMAT "}", cut + 1);
        say(f->client, first);
        say(f->client, talk + cut);
        say(f->qemu, reply);
        g_autofree char *heard = hear(f->client);
        g_assert_true(g_str_has_prefix(heard, "{\"return\": 1, \"id\": \"}\"}\r\n{\"error\""));
        g_free(hear(f->qemu));
    }
}

/* One at a time, and in order; nothing is read before the last is answered. */
static void test_in_order(Fixture *f, gconstpointer data)
{
    say(f->client, "{\"execute\":\"a\"}{\"execute\":\"b\"}");
    assert_heard(f->qemu, "{\"id\":2,\"execute\":\"a\"}\n");
    say(f->qemu, "{\"event\":\"E\"}\r\n{\"return\": 1, \"id\": 2}\r\n");
    assert_heard(f->client, "{\"event\":\"E\"}\r\n{\"return\": 1}\r\n");
    assert_heard(f->qemu, "{\"id\":3,\"execute\":\"b\"}\n");
    say(f->qemu, "{\"return\": 2, \"id\": 3}\r\n");
    assert_heard(f->client, "{\"return\": 2}\r\n");
}

/* Each has its own ids and its own negotiation. */
static void test_two_streams(Fixture *f, gconstpointer data)
{
    cvd_autofd other = open_stream(f);

    say(f->client, "{\"execute\":\"a\",\"id\":1}");
    say(other, "{\"execute\":\"b\",\"id\":1}");
    assert_refused(other, "expected qmp_capabilities");
    say(f->qemu, "{\"event\":\"E\"}");
    say(other, CAPABILITIES);
    say(other, "{\"execute\":\"c\",\"id\":1}");
    say(f->qemu, "{\"return\": \"a\", \"id\": 2}{\"return\": \"c\", \"id\": 3}");
    say(f->qemu, "{\"event\":\"F\"}");
    assert_heard(f->client, "{\"event\":\"E\"}\r\n{\"return\": \"a\", \"id\": 1}\r\n"
                            "{\"event\":\"F\"}\r\n");
    assert_heard(other, DONE "{\"return\": \"c\", \"id\": 1}\r\n{\"event\":\"F\"}\r\n");
}

static void test_own_commands(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 100; i++)
        say(f->client, "{\"execute\":\"a\"}");
    cvd_qmp_execute(f->qmp, "query-status", NULL, on_own_reply, f);
    assert_heard(f->qemu,
                 "{\"id\":2,\"execute\":\"a\"}\n{\"execute\":\"query-status\",\"id\":3}\n");
    say(f->qemu, "{\"return\": {}, \"id\": 2}{\"return\": {}, \"id\": 3}");
    g_assert_cmpuint(f->n_own_replies, ==, 1);
}

static void test_long_reply(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(8 * 1024 * 1024, 'x');
    g_autofree char *reply = g_strdup_printf("{\"return\": \"%s\", \"id\": 2}", filler);
    g_autofree char *expected = g_strdup_printf("{\"return\": \"%s\"}\r\n", filler);

    say(f->client, "{\"execute\":\"a\"}");
    say(f->qemu, reply);
    assert_heard(f->client, expected);
}

/* ---- Ends ---- */

static void test_end_of_qemu(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    say(f->client, "{\"execute\":\"quit\"}");
    say(f->qemu, "{\"event\":\"SHUTDOWN\"}");
    cvd_close_fd(&f->qemu);
    assert_heard(f->client, "{\"event\":\"SHUTDOWN\"}\r\n");
    assert_ended(f->client);
    g_assert_cmpint(cvd_qmp_streams_open(f->streams, &error), ==, -1);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_CLOSED);
}

/* What QEMU was given it answers to nobody. */
static void test_client_leaves(Fixture *f, gconstpointer data)
{
    cvd_autofd other = open_negotiated(f);

    say(f->client, "{\"execute\":\"a\"}{\"execute\":\"b\"}");
    say(other, "{\"execute\":\"c\"}");
    cvd_close_fd(&f->client);
    run_until_idle();
    say(f->qemu, "{\"return\": 1, \"id\": 2}");
    assert_heard(f->qemu, "{\"id\":2,\"execute\":\"a\"}\n{\"id\":3,\"execute\":\"c\"}\n");
    say(f->qemu, "{\"return\": 2, \"id\": 3}");
    assert_heard(other, "{\"return\": 2}\r\n");
}

/* `printf … | nc -U`: who has said all waits for the answers. */
static void test_client_says_no_more(Fixture *f, gconstpointer data)
{
    say(f->client, "{\"execute\":\"a\"}{\"execute\":\"b\"}{\"exec");
    g_assert_no_errno(shutdown(f->client, SHUT_WR));
    run_until_idle();
    say(f->qemu, "{\"return\": 1, \"id\": 2}");
    say(f->qemu, "{\"return\": 2, \"id\": 3}");
    assert_heard(f->client, "{\"return\": 1}\r\n{\"return\": 2}\r\n");
    assert_ended(f->client);
}

static void test_no_greeting(void)
{
    static const CvdQmpHandlers handlers = {.closed = on_closed};
    int pair[2];
    g_autoptr(GError) error = NULL;

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    g_autoptr(CvdQmp) qmp = cvd_qmp_new(pair[0], &handlers, NULL);
    g_autoptr(CvdQmpStreams) streams = cvd_qmp_streams_new(qmp);
    g_assert_cmpint(cvd_qmp_streams_open(streams, &error), ==, -1);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_CLOSED);
    close(pair[1]);
}

static void test_freed_under_way(Fixture *f, gconstpointer data)
{
    say(f->client, "{\"execute\":\"a\"}");
}

/* ---- Clients that are not to be trusted ---- */

/* What is no JSON object in between is answered, and what no object can follow ends the stream. */
static void test_garbage(Fixture *f, gconstpointer data)
{
    cvd_autofd other = open_negotiated(f);

    say(f->client, "{\"a\": ]}}}\n");
    assert_refused(f->client, "line 1, column 7");
    assert_ended(f->client);
    say(other, "GET / HTTP/1.0\r\n\r\n");
    assert_refused(other, "expected an object");
    assert_ended(other);
    assert_heard(f->qemu, "");
}

static void test_deep(Fixture *f, gconstpointer data)
{
    g_autofree char *open = g_strnfill(500000, '['), *close = g_strnfill(500000, ']');
    g_autofree char *command = g_strconcat("{\"execute\":\"a\",\"x\":", open, close, "}", NULL);

    say(f->client, command);
    assert_refused(f->client, "");
    assert_heard(f->qemu, "");
    say(f->client, "{\"execute\":\"a\"}");
    assert_heard(f->qemu, "{\"id\":2,\"execute\":\"a\"}\n");
}

static void test_long_command(Fixture *f, gconstpointer data)
{
    static const char begin[] = "{\"execute\":\"", end[] = "\"}";
    gsize size = CVD_QMP_MAX_COMMAND - strlen(begin) - strlen(end);
    g_autofree char *filler = g_strnfill(size + GPOINTER_TO_SIZE(data), 'x');
    g_autofree char *command = g_strconcat(begin, filler, end, NULL);

    say(f->client, command);
    g_autofree char *heard = hear(f->qemu);
    g_assert_cmpuint(strlen(heard), ==,
                     data == NULL ? CVD_QMP_MAX_COMMAND + strlen("\"id\":2,\n") : 0);
    if (data != NULL)
        assert_refused(f->client, "more than 1 MiB");
    say(f->client, "{\"id\":1}");
    if (data != NULL)
        assert_refused(f->client, "\"id\": 1");
}

/* Many times as much as there is room for. Returns: how many bytes its socket has taken of it */
static gsize say_without_reading(int fd, const char *command, guint n)
{
    gsize n_said = 0;

    for (guint i = 0; i < n; i++) {
        gssize sent = send(fd, command, strlen(command), MSG_DONTWAIT | MSG_NOSIGNAL);
        run_until_idle();
        if (sent < (gssize)strlen(command))
            break;
        n_said += (gsize)sent;
    }
    return n_said;
}

/* The stream stays, and others are served: what is not read is a matter of this client's alone. */
static void test_replies_unread(Fixture *f, gconstpointer data)
{
    cvd_autofd other = open_negotiated(f);
    gsize n_said = say_without_reading(f->client, "{}\n", 1000000);

    g_assert_cmpuint(n_said, >, 1000 * strlen("{}\n"));
    g_assert_cmpuint(n_said, <, 1000000);
    say(other, "{\"execute\":\"a\"}");
    say(f->qemu, "{\"return\": 1, \"id\": 2}");
    assert_heard(other, "{\"return\": 1}\r\n");
    g_autofree char *heard = hear(f->client);
    guint n_replies = 0;
    for (const char *at = heard; (at = strstr(at, "\r\n")) != NULL; at++)
        n_replies++;
    g_assert_cmpuint(n_replies, ==, n_said / strlen("{}\n"));
}

static void test_1000_commands(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) commands = g_string_new(NULL);

    for (guint i = 0; i < 1000; i++)
        g_string_append(commands, "{\"execute\":\"a\"}");
    say(f->client, commands->str);
    for (guint i = 2; i < 1002; i++) {
        g_autofree char *heard = hear(f->qemu);
        g_autofree char *asked = g_strdup_printf("{\"id\":%u,\"execute\":\"a\"}\n", i);
        g_autofree char *reply = g_strdup_printf("{\"return\": %u, \"id\": %u}", i, i);
        g_assert_cmpstr(heard, ==, asked);
        say(f->qemu, reply);
    }
    g_autofree char *heard = hear(f->client);
    g_assert_true(g_str_has_suffix(heard, "{\"return\": 1001}\r\n"));
}

/* At the bound it has them all; beyond it, it has lost its stream, and nobody else has. */
static void test_events_unread(Fixture *f, gconstpointer data)
{
    static const char begin[] = "{\"event\":\"", end[] = "\"}";
    cvd_autofd other = open_negotiated(f);
    gsize size = 65536 - strlen(begin) - strlen(end) - strlen("\r\n");
    g_autofree char *filler = g_strnfill(size, 'E');
    g_autofree char *event = g_strconcat(begin, filler, end, NULL);
    gsize n_in_kernel = 0;

    for (guint n_unread = 0; n_unread <= CVD_QMP_MAX_UNREAD_EVENTS / 65536;) {
        int n_readable = 0;
        say(f->qemu, event);
        g_free(hear(other));
        g_assert_no_errno(ioctl(f->client, FIONREAD, &n_readable));
        n_unread += (gsize)n_readable == n_in_kernel;
        n_in_kernel = (gsize)n_readable;
        g_assert_cmpuint(test_log_count("has not read"), ==, 0);
    }
    say(f->qemu, event);
    g_assert_cmpuint(test_log_count("has not read"), ==, 1);
    say(other, "{\"execute\":\"a\"}");
    say(f->qemu, "{\"return\": 1, \"id\": 2}");
    g_autofree char *heard = hear(other);
    g_assert_true(g_str_has_suffix(heard, "{\"return\": 1}\r\n"));
    g_free(hear(f->client));
    assert_ended(f->client);
}

static void test_crowd(Fixture *f, gconstpointer data)
{
    int fds[CVD_QMP_MAX_STREAMS] = {f->client};
    g_autoptr(GError) error = NULL;

    for (guint i = 1; i < CVD_QMP_MAX_STREAMS; i++)
        fds[i] = open_stream(f);
    g_assert_cmpint(cvd_qmp_streams_open(f->streams, &error), ==, -1);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    cvd_close_fd(&fds[1]);
    run_until_idle();
    fds[1] = open_negotiated(f);
    for (guint i = 1; i < CVD_QMP_MAX_STREAMS; i++)
        cvd_close_fd(&fds[i]);
}

/* A descriptor that comes along is closed. */
static void test_descriptor(Fixture *f, gconstpointer data)
{
    static const char command[] = "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"x\"}}";
    guint n_fds = test_count_fds();

    test_send(f->client, command, strlen(command), STDIN_FILENO);
    assert_refused(f->client, "passes no descriptors on");
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
    assert_heard(f->qemu, "");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/qmp-streams/command", test_command},
        {"/qmp-streams/error-of-qemu", test_error},
        {"/qmp-streams/commands-split-anywhere", test_split},
        {"/qmp-streams/in-order", test_in_order},
        {"/qmp-streams/two", test_two_streams},
        {"/qmp-streams/launchers-own-come-between", test_own_commands},
        {"/qmp-streams/reply-of-8-mib", test_long_reply},
        {"/qmp-streams/end/qemu", test_end_of_qemu},
        {"/qmp-streams/end/client-leaves", test_client_leaves},
        {"/qmp-streams/end/client-says-no-more", test_client_says_no_more},
        {"/qmp-streams/end/freed-under-way", test_freed_under_way},
        {"/qmp-streams/hostile/garbage", test_garbage},
        {"/qmp-streams/hostile/deep", test_deep},
        {"/qmp-streams/hostile/replies-unread", test_replies_unread},
        {"/qmp-streams/hostile/1000-commands-at-once", test_1000_commands},
        {"/qmp-streams/hostile/1-mib-of-events-unread-and-one-more", test_events_unread},
        {"/qmp-streams/hostile/8-streams-and-one-more", test_crowd},
        {"/qmp-streams/hostile/descriptor", test_descriptor},
    };

    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    g_test_add("/qmp-streams/hostile/command-of-1-mib", Fixture, NULL, set_up, test_long_command,
               tear_down);
    g_test_add("/qmp-streams/hostile/command-of-1-mib-and-one-more", Fixture, GSIZE_TO_POINTER(1),
               set_up, test_long_command, tear_down);
    g_test_add_func("/qmp-streams/no-greeting-yet", test_no_greeting);
    return g_test_run();
}
