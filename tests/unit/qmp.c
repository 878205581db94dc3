/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with a QEMU that the test plays over a socket pair. */
#include "launcher/qmp.h"

#include "base/error.h"
#include "base/fd.h"
#include "launcher/json.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

typedef struct {
    CvdQmp *qmp;
    int qemu; /* our end, played by the test */
    guint n_ready;
    guint n_closed;
    GError *close_error;
    GString *events;  /* names, each followed by a space */
    GString *replies; /* `ok `, or the error's message */
    int reply_code;   /* of the last one */
} Fixture;

static void on_ready(gpointer data)
{
    ((Fixture *)data)->n_ready++;
}

static void on_event(const char *name, JsonObject *event_data, gpointer data)
{
    Fixture *f = data;
    g_string_append_printf(f->events, "%s ", name);
    if (event_data != NULL && json_object_has_member(event_data, "reason"))
        g_string_append_printf(f->events, "(%s) ",
                               json_object_get_string_member(event_data, "reason"));
}

static void on_closed(const GError *error, gpointer data)
{
    Fixture *f = data;
    f->n_closed++;
    f->close_error = error != NULL ? g_error_copy(error) : NULL;
}

static void on_reply(JsonNode *result, const GError *error, gpointer data)
{
    Fixture *f = data;

    g_string_append_printf(f->replies, "%s ", error == NULL ? "ok" : error->message);
    f->reply_code = error == NULL ? -1 : error->code;
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdQmpHandlers handlers = {on_ready, on_event, on_closed};
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    *f = (Fixture){.qemu = pair[1]};
    f->events = g_string_new(NULL);
    f->replies = g_string_new(NULL);
    f->qmp = cvd_qmp_new(pair[0], &handlers, f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_qmp_free(f->qmp);
    cvd_close_fd(&f->qemu);
    g_clear_error(&f->close_error);
    g_string_free(f->events, TRUE);
    g_string_free(f->replies, TRUE);
}

static void run_until_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void say(Fixture *f, const char *text)
{
    g_assert_cmpint(write(f->qemu, text, strlen(text)), ==, (gssize)strlen(text));
    run_until_idle();
}

static char *hear(Fixture *f)
{
    char text[65536];
    gssize n = recv(f->qemu, text, sizeof text - 1, MSG_DONTWAIT);

    text[MAX(n, 0)] = '\0';
    return g_strdup(text);
}

static void negotiate(Fixture *f)
{
    say(f, GREETING);
    g_autofree char *heard = hear(f);
    g_assert_cmpstr(heard, ==, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
    say(f, "{\"return\": {}, \"id\": 1}\r\n");
    g_assert_cmpuint(f->n_ready, ==, 1);
}

static void test_greeting(Fixture *f, gconstpointer data)
{
    g_assert_cmpuint(f->n_ready, ==, 0);
    negotiate(f);
    g_assert_cmpuint(f->n_closed, ==, 0);
}

/* Every place where a message can be cut in two, and byte by byte. */
static void test_split(Fixture *f, gconstpointer data)
{
    static const char talk[] = GREETING "{\"return\": {}, \"id\": 1}\n"
                                        "{\"event\": \"STOP\", \"timestamp\": {}}\n";
    for (gsize cut = 1; cut < sizeof talk - 1; cut++) {
        Fixture g;
        set_up(&g, NULL);
        g_autofree char *first = g_strndup(talk, cut);
        say(&g, first);
        say(&g, talk + cut);
        g_assert_cmpuint(g.n_ready, ==, 1);
        g_assert_cmpstr(g.events->str, ==, "STOP ");
        tear_down(&g, NULL);
    }
    for (const char *p = talk; *p != '\0'; p++)
        say(f, (const char[]){*p, '\0'});
    g_assert_cmpuint(f->n_ready, ==, 1);
    g_assert_cmpstr(f->events->str, ==, "STOP ");
}

static void test_replies_by_id(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "query-status", NULL, on_reply, f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    g_autofree char *heard = hear(f);
    g_assert_cmpstr(heard, ==,
                    "{\"execute\":\"query-status\",\"id\":2}\n"
                    "{\"execute\":\"cont\",\"id\":3}\n");
    say(f,
        "{\"event\": \"RESUME\"}\n{\"error\": {\"class\": \"X\", \"desc\": \"no\"}, \"id\": 3}\n");
    g_assert_cmpstr(f->events->str, ==, "RESUME ");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: no ");
    say(f, "{\"return\": {}, \"id\": 2}\n");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: no ok ");
}

static void test_arguments(Fixture *f, gconstpointer data)
{
    negotiate(f);
    JsonNode *arguments = json_from_string("{\"command-line\": \"o/w 1 \\\"2\\\"\"}", NULL);
    cvd_qmp_execute(f->qmp, "human-monitor-command", arguments, NULL, NULL);
    g_autofree char *heard = hear(f);
    g_assert_cmpstr(heard, ==,
                    "{\"execute\":\"human-monitor-command\",\"id\":2,\"arguments\":"
                    "{\"command-line\":\"o/w 1 \\\"2\\\"\"}}\n");
}

static void test_end_of_stream(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "quit", NULL, on_reply, f);
    say(f, "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"host-qmp-quit\"}}\n");
    cvd_close_fd(&f->qemu);
    run_until_idle();
    g_assert_cmpstr(f->events->str, ==, "SHUTDOWN (host-qmp-quit) ");
    g_assert_cmpstr(f->replies->str, ==, "QMP connection closed ");
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_CLOSED);
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_no_error(f->close_error);

    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "QMP connection closed cont: QMP connection closed ");
}

/* QEMU exits with a command of ours unread: the kernel says ECONNRESET, which is an end like EOF.
 */
static void test_reset_is_end(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    cvd_close_fd(&f->qemu);
    run_until_idle();
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_no_error(f->close_error);
}

static void test_read_rest(Fixture *f, gconstpointer data)
{
    negotiate(f);
    static const char last[] =
        "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-panic\"}}\n";
    g_assert_cmpint(write(f->qemu, last, sizeof last - 1), ==, (gssize)sizeof last - 1);
    cvd_close_fd(&f->qemu);
    cvd_qmp_read_rest(f->qmp);
    g_assert_cmpstr(f->events->str, ==, "SHUTDOWN (guest-panic) ");
    g_assert_cmpuint(f->n_closed, ==, 1);
}

static const char *const violations[] = {
    "hello\n",
    "\n",
    "[]\n",
    "{}\n",
    "{\"QMP\": {}}\n", /* a second greeting */
    "{\"return\": {}, \"id\": 99}\n",
    "{\"return\": {}, \"id\": \"2\"}\n",
    "{\"return\": {}}\n",
    "{\"error\": {}}\n",
    "{\"event\": 1}\n",
    "{\"event\": \"STOP\"\n",
    "\xff\xfe\n",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
};

static void test_violation(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    say(f, data);
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_error(f->close_error, CVD_ERROR, CVD_ERROR_PROTOCOL);
    g_assert_cmpuint(strlen(f->replies->str), >, 0);
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_CLOSED); /* `cont` was not refused */
}

static void test_error_without_text(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    say(f, "{\"error\": [], \"id\": 2}\n");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: an error without a description ");
    g_assert_cmpuint(f->n_closed, ==, 0);
}

static void test_capabilities_refused(Fixture *f, gconstpointer data)
{
    say(f, GREETING);
    say(f, "{\"error\": {\"desc\": \"no\"}, \"id\": 1}\n");
    g_assert_cmpuint(f->n_ready, ==, 0);
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_nonnull(f->close_error);
}

/* A line without an end is bounded: at the limit the connection holds, beyond it is closed. */
static void test_long_line(Fixture *f, gconstpointer data)
{
    g_autofree char *line = g_strnfill(CVD_JSON_MAX_SIZE, ' ');

    negotiate(f);
    for (gsize n = 0; n < CVD_JSON_MAX_SIZE;) {
        gssize r = send(f->qemu, line + n, CVD_JSON_MAX_SIZE - n, MSG_DONTWAIT);
        n += (gsize)MAX(r, 0);
        run_until_idle();
    }
    g_assert_cmpuint(f->n_closed, ==, 0);
    say(f, " ");
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_error(f->close_error, CVD_ERROR, CVD_ERROR_PROTOCOL);
}

static void test_pending_limit(Fixture *f, gconstpointer data)
{
    negotiate(f);
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_execute(f->qmp, "query-status", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "");
    cvd_qmp_execute(f->qmp, "query-status", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "query-status: too many QMP commands wait for replies ");
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_RESOURCES);
}

/* QEMU reads nothing for a while: what does not fit into the socket goes out later, once. */
static void test_slow_reader(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(20000, 'x');
    guint n_lines = 0;

    negotiate(f);
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++) {
        g_autofree char *text = g_strdup_printf("{\"n\": \"%s\"}", filler);
        cvd_qmp_execute(f->qmp, "x", json_from_string(text, NULL), NULL, NULL);
    }
    for (guint idle = 0; n_lines < CVD_QMP_MAX_PENDING && idle < 1000; idle++) {
        g_autofree char *heard = hear(f);
        for (const char *p = heard; *p != '\0'; p++)
            n_lines += *p == '\n';
        run_until_idle();
    }
    g_assert_cmpuint(n_lines, ==, CVD_QMP_MAX_PENDING);
    g_autofree char *rest = hear(f);
    g_assert_cmpstr(rest, ==, "");
}

/* QEMU answers commands that it has not read: those are kept for it only up to the limit. */
static void test_answers_unread(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(60000, 'x');
    gsize n_bytes = 0;
    gint64 id = 1;

    negotiate(f);
    while (f->reply_code != CVD_ERROR_RESOURCES) {
        JsonNode *arguments = json_from_string("{}", NULL);
        json_object_set_string_member(json_node_get_object(arguments), "filler", filler);
        f->reply_code = -1;
        cvd_qmp_execute(f->qmp, "noise", arguments, on_reply, f);
        if (f->reply_code == -1) {
            g_autofree char *answer = g_strdup_printf("{\"return\": {}, \"id\": %d}\n", (int)++id);
            n_bytes += strlen(filler);
            g_assert_cmpuint(n_bytes, <, 2 * CVD_QMP_MAX_UNREAD);
            say(f, answer);
        }
    }
    g_assert_cmpuint(n_bytes, >, CVD_QMP_MAX_UNREAD - 2 * strlen(filler));
    g_assert_nonnull(strstr(f->replies->str, "noise: QEMU does not read its commands"));
    g_assert_cmpuint(f->n_closed, ==, 0);
}

static void test_long_description(Fixture *f, gconstpointer data)
{
    g_autofree char *longest = g_strnfill(CVD_QMP_MAX_DESCRIPTION, 'x');
    g_autofree char *expected = g_strdup_printf("QEMU: %s ", longest);
    g_autofree char *answer =
        g_strdup_printf("{\"error\": {\"desc\": \"%sy\"}, \"id\": 2}\n", longest);

    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    say(f, answer);
    g_assert_cmpstr(f->replies->str, ==, expected);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/qmp/greeting-then-capabilities", test_greeting},
        {"/qmp/messages-split-anywhere", test_split},
        {"/qmp/replies-find-their-commands-by-id", test_replies_by_id},
        {"/qmp/arguments", test_arguments},
        {"/qmp/end-of-stream", test_end_of_stream},
        {"/qmp/reset-is-an-end", test_reset_is_end},
        {"/qmp/last-words-after-exit", test_read_rest},
        {"/qmp/error-without-a-description", test_error_without_text},
        {"/qmp/capabilities-refused", test_capabilities_refused},
        {"/qmp/line-of-1-mib-and-one-more", test_long_line},
        {"/qmp/64-pending-commands-and-one-more", test_pending_limit},
        {"/qmp/qemu-reads-slowly", test_slow_reader},
        {"/qmp/qemu-answers-what-it-has-not-read", test_answers_unread},
        {"/qmp/description-of-512-bytes-and-one-more", test_long_description},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    for (gsize i = 0; i < G_N_ELEMENTS(violations); i++) {
        g_autofree char *path = g_strdup_printf("/qmp/violation/%" G_GSIZE_FORMAT, i);
        g_test_add(path, Fixture, violations[i], set_up, test_violation, tear_down);
    }
    return g_test_run();
}
