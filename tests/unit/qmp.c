/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with a QEMU that the test plays over a socket pair. */
#include "launcher/qemu/qmp.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "launcher/qemu/bus-master.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
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
    GString *texts;   /* of the events' data, likewise */
    GString *replies; /* `ok `, or the error's message */
    GString *answers; /* to callers: the reply or the error's message, each with a line end */
    int reply_code;   /* of the last one */
    gulong event_us;  /* how long each event takes */
} Fixture;

static void on_ready(gpointer data)
{
    ((Fixture *)data)->n_ready++;
}

static void on_event(const char *name, JsonObject *event_data, const char *text, gpointer data)
{
    Fixture *f = data;
    g_usleep(f->event_us);
    g_string_append_printf(f->events, "%s ", name);
    if (event_data != NULL && json_object_has_member(event_data, "reason"))
        g_string_append_printf(f->events, "(%s) ",
                               json_object_get_string_member(event_data, "reason"));
    if (text != NULL)
        g_string_append_printf(f->texts, "%s ", text);
}

static void on_closed(const GError *error, gpointer data)
{
    Fixture *f = data;
    f->n_closed++;
    f->close_error = error != NULL ? g_error_copy(error) : NULL;
}

static void on_reply(CvdJsonSpan result, const GError *error, gpointer data)
{
    Fixture *f = data;

    g_string_append_printf(f->replies, "%s ", error == NULL ? "ok" : error->message);
    f->reply_code = error == NULL ? -1 : error->code;
}

static void on_answer(CvdJsonSpan result, const GError *error, gpointer data)
{
    Fixture *f = data;

    g_assert_true((result.text == NULL) == (error != NULL));
    g_string_append_len(f->answers, error == NULL ? result.text : error->message,
                        error == NULL ? (gssize)result.size : -1);
    g_string_append_c(f->answers, '\n');
    f->reply_code = error == NULL ? -1 : error->code;
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready, .event = on_event, .closed = on_closed};
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    *f = (Fixture){.qemu = pair[1]};
    f->events = g_string_new(NULL);
    f->texts = g_string_new(NULL);
    f->replies = g_string_new(NULL);
    f->answers = g_string_new(NULL);
    f->qmp = cvd_qmp_new(pair[0], &handlers, f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_qmp_free(f->qmp);
    cvd_close_fd(&f->qemu);
    g_clear_error(&f->close_error);
    g_string_free(f->events, TRUE);
    g_string_free(f->texts, TRUE);
    g_string_free(f->replies, TRUE);
    g_string_free(f->answers, TRUE);
}

static void run_until_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void say(Fixture *f, const char *text)
{
    for (gsize n = 0, size = strlen(text); n < size;) {
        gssize r = send(f->qemu, text + n, size - n, MSG_DONTWAIT);
        n += (gsize)MAX(r, 0);
        run_until_idle();
    }
}

static char *hear(Fixture *f)
{
    char text[65536];
    gssize n = recv(f->qemu, text, sizeof text - 1, MSG_DONTWAIT);

    text[MAX(n, 0)] = '\0';
    return g_strdup(text);
}

static void assert_heard(Fixture *f, const char *text)
{
    g_autofree char *heard = hear(f);

    g_assert_cmpstr(heard, ==, text);
}

static void negotiate(Fixture *f)
{
    say(f, GREETING);
    g_autofree char *heard = hear(f);
    g_assert_cmpstr(heard, ==, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
    say(f, "{\"return\": {}, \"id\": 1}\r\n");
    g_assert_cmpuint(f->n_ready, ==, 1);
}

/* By a monitor that has no such command, and by a QEMU that is not to have any. */
static void test_bus_master_is_refused(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_bus_master_enable(f->qmp, 4, on_reply, f);
    say(f, "{\"return\": \"unknown command\", \"id\": 2}\n");
    cvd_bus_master_enable(f->qmp, 4, on_reply, f);
    say(f, "{\"return\": \"portl[0x0cf8] = 0x0\", \"id\": 3}\n");
    say(f, "{\"error\": {\"desc\": \"no\"}, \"id\": 4}\n");
    g_assert_cmpstr(f->replies->str, ==, "QEMU's monitor answered \"unknown command\" QEMU: no ");
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
    cvd_qmp_execute(f->qmp, "human-monitor-command", "{\"command-line\":\"o/w 1 \\\"2\\\"\"}", NULL,
                    NULL);
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

#define N_FLOOD 10000

/* Others have to be served meanwhile: what comes without end is left for the main loop. */
static void test_read_rest_of_a_flood(Fixture *f, gconstpointer data)
{
    static const char event[] = "{\"event\":\"A\"}\n";
    g_autoptr(GString) events = g_string_new(NULL);

    for (guint i = 0; i < N_FLOOD; i++)
        g_string_append(events, event);
    gssize n_bytes = send(f->qemu, events->str, events->len, MSG_DONTWAIT);
    g_assert_cmpint(n_bytes, >=, 100000);
    gsize n_sent = (gsize)n_bytes / strlen(event);
    f->event_us = G_TIME_SPAN_SECOND / 2 / n_sent;
    cvd_qmp_read_rest(f->qmp);
    g_assert_cmpuint(f->events->len / strlen("A "), <, n_sent);
    f->event_us = 0;
    run_until_idle();
    g_assert_cmpuint(f->events->len / strlen("A "), ==, n_sent);
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

/* What is no sequence of JSON objects: the launcher gives up, and says why. */
static const char *const violations[] = {"hello\n", "[]\n", "{}]\n", "\xff\xfe\n", "\"{}\"\n"};

static void test_violation(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"x\"}", on_answer, f);
    say(f, data);
    g_assert_cmpuint(f->n_closed, ==, 1);
    g_assert_error(f->close_error, CVD_ERROR, CVD_ERROR_PROTOCOL);
    g_assert_nonnull(strstr(f->replies->str, f->close_error->message));
    g_assert_nonnull(strstr(f->answers->str, f->close_error->message));
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_CLOSED); /* `cont` was not refused */
}

/* What is QMP, but nothing that the launcher knows, is passed over, and counts as no answer. */
static const char *const oddities[] = {
    "\r\n\n",
    "{}\n",
    GREETING,
    "{\"return\": {}, \"id\": 99}\n",
    "{\"return\": {}, \"id\": \"2\"}\n",
    "{\"return\": {}, \"id\": -1}\n",
    "{\"return\": {}}\n",
    "{\"error\": {}, \"id\": 99}\n",
    "{\"event\": 1}\n",
    "{\"event\": \"\\ud800\"}\n",
    "{\"event\": }\n",
    "{:, }\n",
    "{\"a\": \"\xff\"}\n",
};

static void test_oddity(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    say(f, data);
    g_assert_cmpuint(f->n_closed, ==, 0);
    g_assert_cmpstr(f->replies->str, ==, "");
    g_assert_cmpstr(f->events->str, ==, "");
    say(f, "{\"return\": {}, \"id\": 2}{\"event\":\"STOP\"}");
    g_assert_cmpstr(f->replies->str, ==, "ok ");
    g_assert_cmpstr(f->events->str, ==, "STOP ");
}

/* Of those there may be any number: the log has a bound. */
static void test_oddities_are_few_in_log(Fixture *f, gconstpointer data)
{
    negotiate(f);
    test_log_forget();
    for (guint i = 0; i < 1000; i++)
        say(f, "{}\n");
    g_assert_cmpuint(test_log_count("passed over"), <=, 10 * CVD_LOG_LINES_PER_SECOND);
    g_assert_cmpuint(test_log_count("passed over"), >, 0);
}

/* It belongs to the oldest command that waits, whoever asked. */
static void test_error_without_id(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"x\",\"arguments\":{\"a\":\"\\ufffe\"}}", on_answer, f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    assert_heard(f, "{\"id\":2,\"execute\":\"x\",\"arguments\":{\"a\":\"\\ufffe\"}}\n"
                    "{\"execute\":\"cont\",\"id\":3}\n");
    say(f, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\r\n");
    g_assert_cmpstr(f->answers->str, ==, "QEMU: JSON parse error\n");
    g_assert_cmpstr(f->replies->str, ==, "");
    say(f, "{\"error\": {\"desc\": \"no\"}}\r\n");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: no ");
}

static void test_events_before_ready(Fixture *f, gconstpointer data)
{
    static const char shutdown[] =
        "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"host-signal\"}}\n";

    say(f, shutdown);
    g_assert_cmpstr(f->events->str, ==, "SHUTDOWN (host-signal) ");
    say(f, GREETING);
    say(f, shutdown);
    g_assert_cmpuint(f->n_ready, ==, 0);
    g_assert_cmpstr(f->events->str, ==, "SHUTDOWN (host-signal) SHUTDOWN (host-signal) ");
}

/* What json-glib cannot hold is left out, and everything goes on as it was sent. */
static void test_event_data(Fixture *f, gconstpointer data)
{
    static const char *const values[] = {
        "18446744073709551615", "-9223372036854775809", "1.5e400",
        "\"\\u0000\"",          "\"\\ud800\"",          "{\"a\": [1, 18446744073709551615]}",
    };
    g_autoptr(GString) texts = g_string_new(NULL);

    negotiate(f);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text = g_strdup_printf("{\"info\": %s, \"reason\": \"r\"}", values[i]);
        g_autofree char *event = g_strdup_printf("{\"data\": %s, \"event\": \"E\"}", text);
        g_string_append_printf(texts, "%s ", text);
        g_string_truncate(f->events, 0);
        say(f, event);
        g_assert_cmpstr(f->events->str, ==, "E (r) ");
    }
    g_assert_cmpstr(f->texts->str, ==, texts->str);
}

/* ---- Callers' commands ---- */

static const struct {
    const char *command, *sent, *answer;
} passed[] = {
    {"{\"execute\":\"a\"}", "{\"id\":2,\"execute\":\"a\"}", "R"},
    {" { \"execute\" : \"a\",\n \"arguments\" : {\"id\": [1, 2]} }\n",
     "{\"id\":2,\"execute\":\"a\",\"arguments\":{\"id\":[1,2]}}", "R"},
    {"{\"execute\":\"a\",\"id\":7}", "{\"execute\":\"a\",\"id\":2}", "{\"return\": R, \"id\": 7}"},
    {"{\"id\":{\"x\":18446744073709551615},\"execute\":\"a\"}", "{\"id\":2,\"execute\":\"a\"}",
     "{\"return\": R, \"id\": {\"x\":18446744073709551615}}"},
    {"{\"execute\":\"a\",\"arguments\":{\"n\":1e20,\"m\":18446744073709551615,\"s\":\"\\u0000\"}}",
     "{\"id\":2,\"execute\":\"a\",\"arguments\":{\"n\":1e20,\"m\":18446744073709551615,"
     "\"s\":\"\\u0000\"}}",
     "R"},
    {"{\"execute\":\"a\",\"control\":{}}", "{\"id\":2,\"execute\":\"a\",\"control\":{}}", "R"},
};

static const char *const values[] = {
    "{}", "18446744073709551615", "\"\\ufffe\"", "[[[[{\"a\": \"}\\\"]\"}]]]]", "-1e-400", "null",
};

static void test_passed_on(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(passed); i++) {
        for (gsize j = 0; j < G_N_ELEMENTS(values); j++) {
            Fixture g;
            set_up(&g, NULL);
            negotiate(&g);
            cvd_qmp_pass_on(g.qmp, passed[i].command, on_answer, &g);
            g_autofree char *sent = g_strdup_printf("%s\n", passed[i].sent);
            assert_heard(&g, sent);
            g_autofree char *reply = g_strdup_printf("{\"return\": %s, \"id\": 2}\r\n", values[j]);
            say(&g, reply);
            g_auto(GStrv) parts = g_strsplit(passed[i].answer, "R", 2);
            g_autofree char *joined = g_strjoinv(values[j], parts);
            g_autofree char *expected = g_strdup_printf("%s\n", joined);
            g_assert_cmpstr(g.answers->str, ==, expected);
            tear_down(&g, NULL);
        }
    }
}

/* What would not be one command for QEMU. */
static void test_no_command(Fixture *f, gconstpointer data)
{
    static const char *const commands[] = {
        "",
        "{}",
        "[]",
        "{\"execute\":1}",
        "{\"arguments\":{}}",
        "{\"execute\":\"a\"}{\"execute\":\"b\"}",
        "{\"execute\":\"a\",\"arguments\":{\"b\":tru}}",
        "{\"execute\":\"a\",\"arguments\":{'b':1}}",
        "{\"execute\":\"a\"",
        "{\"execute\":\"a\",\"arguments\":{\"b\":\"\n\"}}",
    };

    negotiate(f);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        f->reply_code = -1;
        cvd_qmp_pass_on(f->qmp, commands[i], on_answer, f);
        g_assert_cmpint(f->reply_code, ==, CVD_ERROR_INVALID);
    }
    assert_heard(f, "");
}

/* QEMU takes 1024. */
static void test_deep_command(Fixture *f, gconstpointer data)
{
    negotiate(f);
    for (guint depth = CVD_JSON_MAX_SYNTAX_DEPTH - 2; depth < CVD_JSON_MAX_SYNTAX_DEPTH; depth++) {
        g_autofree char *open = g_strnfill(depth, '['), *close = g_strnfill(depth, ']');
        g_autofree char *command =
            g_strdup_printf("{\"execute\":\"a\",\"arguments\":{\"b\":%s%s}}", open, close);
        f->reply_code = -1;
        cvd_qmp_pass_on(f->qmp, command, on_answer, f);
        g_assert_cmpint(f->reply_code, ==,
                        depth + 2 > CVD_JSON_MAX_SYNTAX_DEPTH ? CVD_ERROR_INVALID : -1);
    }
}

/* The launcher's own commands have at most one of them before them. */
static void test_one_at_a_time(Fixture *f, gconstpointer data)
{
    negotiate(f);
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"a\"}", on_answer, f);
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"b\"}", on_answer, f);
    cvd_qmp_execute(f->qmp, "stop", NULL, on_reply, f);
    assert_heard(f, "{\"id\":2,\"execute\":\"a\"}\n{\"execute\":\"stop\",\"id\":4}\n");
    say(f, "{\"return\": 1, \"id\": 2}");
    assert_heard(f, "{\"id\":3,\"execute\":\"b\"}\n");
    say(f, "{\"return\": {}, \"id\": 4}{\"return\": 2, \"id\": 3}");
    g_assert_cmpstr(f->answers->str, ==, "1\n2\n");
    g_assert_cmpstr(f->replies->str, ==, "ok ");
}

/* A caller that has gone: what QEMU was given it answers late, and to nobody. */
static void test_forgotten(Fixture *f, gconstpointer data)
{
    Fixture other = {.answers = g_string_new(NULL)};

    negotiate(f);
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_pass_on(f->qmp, "{\"execute\":\"a\"}", on_answer, &other);
    cvd_qmp_forget(f->qmp, &other);
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_pass_on(f->qmp, "{\"execute\":\"b\"}", on_answer, f);
    g_assert_cmpstr(f->answers->str, ==, "");
    assert_heard(f, "{\"id\":2,\"execute\":\"a\"}\n");
    say(f, "{\"return\": 1, \"id\": 2}");
    g_assert_cmpstr(f->answers->str, ==, "");
    g_assert_cmpstr(other.answers->str, ==, "");
    g_autofree char *heard = hear(f);
    g_assert_nonnull(strstr(heard, "\"execute\":\"b\""));
    g_string_free(other.answers, TRUE);
}

/* Eight of 1 MB are no reason to refuse any; what is beyond the bound is called by its name. */
static void test_long_commands(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(1024 * 1024 - 100, 'x');
    g_autofree char *command = g_strdup_printf("{\"execute\":\"%s\"}", filler);

    negotiate(f);
    for (guint i = 0; i < 16; i++)
        cvd_qmp_pass_on(f->qmp, command, on_answer, f);
    g_assert_cmpstr(f->answers->str, ==, "");
    cvd_qmp_pass_on(f->qmp, command, on_answer, f); /* the first is under way */
    g_assert_cmpstr(f->answers->str, ==, "");
    cvd_qmp_pass_on(f->qmp, command, on_answer, f);
    g_assert_nonnull(strstr(f->answers->str, "commands that wait for QEMU would have more than"));
    cvd_qmp_execute(f->qmp, "stop", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "");
}

static void test_error_without_text(Fixture *f, gconstpointer data)
{
    static const char *const descriptions[] = {"[]", "{}", "null", "1", "true"};

    negotiate(f);
    cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
    say(f, "{\"error\": [], \"id\": 2}\n");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: an error without a description ");
    for (guint i = 0; i < G_N_ELEMENTS(descriptions); i++) {
        g_autofree char *reply =
            g_strdup_printf("{\"error\": {\"desc\": %s}, \"id\": %u}\n", descriptions[i], i + 3);
        g_string_truncate(f->replies, 0);
        cvd_qmp_execute(f->qmp, "cont", NULL, on_reply, f);
        say(f, reply);
        g_assert_cmpstr(f->replies->str, ==, "QEMU: an error without a description ");
    }
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

/* A message of 64 MiB is a message. With one byte more it is skipped, and only the command fails.
 */
static void test_long_message(Fixture *f, gconstpointer data)
{
    const char *const begin = "{\"return\": \"", *const end = "\", \"id\": 2}\n";
    gsize size = CVD_QMP_MAX_MESSAGE - strlen(begin) - strlen(end) + 1;
    g_autofree char *filler = g_strnfill(size + GPOINTER_TO_SIZE(data), ']');

    negotiate(f);
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"a\"}", on_answer, f);
    cvd_qmp_execute(f->qmp, "stop", NULL, on_reply, f);
    say(f, begin);
    say(f, filler);
    say(f, end);
    if (data == NULL)
        g_assert_cmpuint(f->answers->len, ==, size + strlen("\"\"\n"));
    else
        g_assert_cmpstr(f->answers->str, ==, "QEMU's reply is longer than 67108864 bytes\n");
    say(f, "{\"event\": \"STOP\"}{\"return\": {}, \"id\": 3}");
    g_assert_cmpstr(f->events->str, ==, "STOP ");
    g_assert_cmpstr(f->replies->str, ==, "ok ");
    g_assert_cmpuint(f->n_closed, ==, 0);
}

/* An event that is too long is nobody's answer. */
static void test_long_event(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(CVD_QMP_MAX_MESSAGE, '[');

    negotiate(f);
    cvd_qmp_execute(f->qmp, "stop", NULL, on_reply, f);
    say(f, "{\"event\": \"NOISE\", \"data\": \"");
    say(f, filler);
    say(f, "\"}{\"return\": {}, \"id\": 2}");
    g_assert_cmpstr(f->events->str, ==, "");
    g_assert_cmpstr(f->replies->str, ==, "ok ");
}

/* The launcher's own and callers' commands have their places each. */
static void test_pending_limit(Fixture *f, gconstpointer data)
{
    negotiate(f);
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_pass_on(f->qmp, "{\"execute\":\"a\"}", on_answer, f);
    g_assert_cmpstr(f->answers->str, ==, "");
    cvd_qmp_pass_on(f->qmp, "{\"execute\":\"a\"}", on_answer, f);
    g_assert_cmpstr(f->answers->str, ==, "64 commands wait for QEMU already\n");
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_RESOURCES);

    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_execute(f->qmp, "query-status", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "");
    cvd_qmp_execute(f->qmp, "query-status", NULL, on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "query-status: 64 QMP commands wait for replies already ");
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
        cvd_qmp_execute(f->qmp, "x", text, NULL, NULL);
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
    g_autofree char *arguments = g_strdup_printf("{\"filler\":\"%s\"}", filler);
    gsize n_bytes = 0;
    gint64 id = 1;

    negotiate(f);
    while (f->reply_code != CVD_ERROR_RESOURCES) {
        f->reply_code = -1;
        cvd_qmp_execute(f->qmp, "noise", arguments, on_reply, f);
        if (f->reply_code == -1) {
            g_autofree char *answer = g_strdup_printf("{\"return\": {}, \"id\": %d}\n", (int)++id);
            n_bytes += strlen(filler);
            g_assert_cmpuint(n_bytes, <, 3 * CVD_QMP_MAX_UNREAD);
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

/* ---- A descriptor with a command ---- */

#define GETFD(id) "{\"execute\":\"getfd\",\"id\":" id ",\"arguments\":{\"fdname\":\"state\"}}\n"

/* Returns: (transfer full): what QEMU reads next; @fd: what came with it, −1 = nothing */
static char *hear_with_fd(Fixture *f, int *fd)
{
    char text[65536];
    gssize n = cvd_socket_receive(f->qemu, text, sizeof text - 1, fd, 1);

    text[MAX(n, 0)] = '\0';
    return g_strdup(text);
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void assert_closed(int fd)
{
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    g_assert_cmpint(errno, ==, EBADF);
}

static void test_passed_fd(Fixture *f, gconstpointer data)
{
    int sent = open_null();
    cvd_autofd received = -1;

    negotiate(f);
    cvd_qmp_pass_fd(f->qmp, "state", sent, on_reply, f);
    assert_closed(sent);
    cvd_qmp_execute(f->qmp, "stop", NULL, on_reply, f);
    g_autofree char *heard = hear_with_fd(f, &received);
    g_assert_cmpstr(heard, ==, GETFD("2"));
    g_assert_cmpint(received, >=, 0);
    say(f, "{\"error\": {\"desc\": \"no\"}, \"id\": 2}{\"return\": {}, \"id\": 3}");
    g_assert_cmpstr(f->replies->str, ==, "QEMU: no ok ");
}

static void fill_socket(Fixture *f, guint n)
{
    g_autofree char *filler = g_strnfill(20000, 'x');
    g_autofree char *arguments = g_strdup_printf("{\"n\":\"%s\"}", filler);

    for (guint i = 0; i < n; i++)
        cvd_qmp_execute(f->qmp, "x", arguments, NULL, NULL);
}

/* It goes with its own command, and what is before that goes without. One read ends with what a
 * descriptor comes with. */
static void test_passed_fd_waits(Fixture *f, gconstpointer data)
{
    g_autofree char *heard = g_strdup("");
    cvd_autofd received = -1;

    negotiate(f);
    fill_socket(f, CVD_QMP_MAX_PENDING - 1);
    cvd_qmp_pass_fd(f->qmp, "state", open_null(), on_reply, f);
    for (guint i = 0; received < 0 && i < 10000; i++) {
        g_free(heard);
        heard = hear_with_fd(f, &received);
        run_until_idle();
    }
    g_assert_cmpint(received, >=, 0);
    g_assert_true(g_str_has_suffix(heard, GETFD("65")));
    say(f, "{\"return\": {}, \"id\": 65}");
    g_assert_cmpstr(f->replies->str, ==, "ok ");
}

/* QEMU keeps one, so the next would take its place. Also of a QEMU that answers what it has not
 * read. */
static void test_passed_fd_alone(Fixture *f, gconstpointer data)
{
    const char *const refused = "getfd: QEMU has yet to take another descriptor ";
    int second = open_null();

    negotiate(f);
    fill_socket(f, CVD_QMP_MAX_PENDING / 2);
    cvd_qmp_pass_fd(f->qmp, "state", open_null(), NULL, NULL);
    cvd_qmp_pass_fd(f->qmp, "state", second, on_reply, f);
    assert_closed(second);
    g_assert_cmpstr(f->replies->str, ==, refused);
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_RESOURCES);
    say(f, "{\"return\": {}, \"id\": 34}");
    g_string_truncate(f->replies, 0);
    cvd_qmp_pass_fd(f->qmp, "state", open_null(), on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, refused);
    for (guint i = 0; i < 1000; i++) {
        g_free(hear(f));
        run_until_idle();
    }
    g_string_truncate(f->replies, 0);
    cvd_qmp_pass_fd(f->qmp, "state", open_null(), on_reply, f);
    g_assert_cmpstr(f->replies->str, ==, "");
}

/* Nobody has it then. */
static void test_passed_fd_in_vain(Fixture *f, gconstpointer data)
{
    int waiting = open_null(), late;

    negotiate(f);
    fill_socket(f, CVD_QMP_MAX_PENDING - 1);
    cvd_qmp_pass_fd(f->qmp, "state", waiting, on_reply, f);
    late = open_null();
    cvd_qmp_pass_fd(f->qmp, "state", late, on_reply, f);
    assert_closed(late);
    cvd_close_fd(&f->qemu);
    run_until_idle();
    g_assert_cmpstr(f->replies->str, ==,
                    "getfd: 64 QMP commands wait for replies already QMP connection closed ");
    assert_closed(waiting);
    late = open_null();
    cvd_qmp_pass_fd(f->qmp, "state", late, on_reply, f);
    assert_closed(late);
    g_assert_cmpint(f->reply_code, ==, CVD_ERROR_CLOSED);
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
        {"/qmp/rest-of-a-flood", test_read_rest_of_a_flood},
        {"/qmp/error-without-a-description", test_error_without_text},
        {"/qmp/capabilities-refused", test_capabilities_refused},
        {"/qmp/oddities-are-few-in-the-log", test_oddities_are_few_in_log},
        {"/qmp/error-without-id", test_error_without_id},
        {"/qmp/events-before-ready", test_events_before_ready},
        {"/qmp/event-data", test_event_data},
        {"/qmp/callers/passed-on", test_passed_on},
        {"/qmp/callers/no-command", test_no_command},
        {"/qmp/callers/1000-levels-and-one-more", test_deep_command},
        {"/qmp/callers/one-at-a-time", test_one_at_a_time},
        {"/qmp/callers/forgotten", test_forgotten},
        {"/qmp/callers/long-commands", test_long_commands},
        {"/qmp/event-of-more-than-64-mib", test_long_event},
        {"/qmp/64-pending-commands-and-one-more", test_pending_limit},
        {"/qmp/qemu-reads-slowly", test_slow_reader},
        {"/qmp/qemu-answers-what-it-has-not-read", test_answers_unread},
        {"/qmp/description-of-512-bytes-and-one-more", test_long_description},
        {"/qmp/bus-master-is-refused", test_bus_master_is_refused},
        {"/qmp/descriptor", test_passed_fd},
        {"/qmp/descriptor/waits-with-its-command", test_passed_fd_waits},
        {"/qmp/descriptor/one-at-a-time", test_passed_fd_alone},
        {"/qmp/descriptor/in-vain", test_passed_fd_in_vain},
    };

    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    for (gsize i = 0; i < G_N_ELEMENTS(violations); i++) {
        g_autofree char *path = g_strdup_printf("/qmp/violation/%" G_GSIZE_FORMAT, i);
        g_test_add(path, Fixture, violations[i], set_up, test_violation, tear_down);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(oddities); i++) {
        g_autofree char *path = g_strdup_printf("/qmp/oddity/%" G_GSIZE_FORMAT, i);
        g_test_add(path, Fixture, oddities[i], set_up, test_oddity, tear_down);
    }
    g_test_add("/qmp/reply-of-64-mib", Fixture, NULL, set_up, test_long_message, tear_down);
    g_test_add("/qmp/reply-of-64-mib-and-one-more", Fixture, GSIZE_TO_POINTER(1), set_up,
               test_long_message, tear_down);
    return g_test_run();
}
