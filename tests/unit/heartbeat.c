/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/vm.h"

#include "base/fd.h"
#include "base/source.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS      20
#define SLOW_TIMEOUT_MS 200

typedef struct {
    CvdVm vm; /* but for its process */
    int qemu;
    guint n_unresponsive;
    guint n_answers;
    gboolean is_ready;
} Fixture;

static void on_ready(gpointer data)
{
    ((Fixture *)data)->is_ready = TRUE;
}

static void on_event(const char *name, JsonObject *event_data, const char *text, gpointer data)
{
}

static void on_closed(const GError *error, gpointer data)
{
}

static void on_unresponsive(gpointer data)
{
    ((Fixture *)data)->n_unresponsive++;
}

/* Returns: (transfer full): the next line that QEMU is told, with its end */
static char *hear(Fixture *f)
{
    GString *line = g_string_new(NULL);
    char c = 0;

    while (c != '\n') {
        gssize n = recv(f->qemu, &c, 1, MSG_DONTWAIT);
        if (n == 1)
            g_string_append_c(line, c);
        else
            g_main_context_iteration(NULL, TRUE);
    }
    return g_string_free(line, FALSE);
}

static void say(Fixture *f, const char *text)
{
    g_assert_cmpint(send(f->qemu, text, strlen(text), 0), ==, (gssize)strlen(text));
}

static void answer(Fixture *f, const char *line, const char *what)
{
    const char *id = strstr(line, "\"id\":");

    g_assert_nonnull(strstr(line, "query-status"));
    g_autofree char *text = g_strdup_printf("{%s,\"id\":%d}\n", what, atoi(id + strlen("\"id\":")));
    say(f, text);
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready, .event = on_event, .closed = on_closed};
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    f->qemu = pair[1];
    f->vm.qmp = cvd_qmp_new(pair[0], &handlers, f);
    f->vm.handlers.unresponsive = on_unresponsive;
    f->vm.user_data = f;
    say(f, "{\"QMP\":{}}\n");
    g_free(hear(f));
    say(f, "{\"return\":{},\"id\":1}\n");
    while (!f->is_ready)
        g_main_context_iteration(NULL, TRUE);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->vm.qmp, cvd_qmp_free); /* which answers what waits */
    cvd_source_clear(&f->vm.heartbeat);
    cvd_close_fd(&f->qemu);
}

/* A refusal is an answer as well. */
static void test_answers(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    for (guint i = 0; i < 5; i++) {
        g_autofree char *line = hear(f);
        answer(f, line, i == 3 ? "\"error\":{\"class\":\"x\",\"desc\":\"no\"}" : "\"return\":{}");
    }
    g_assert_cmpuint(f->n_unresponsive, ==, 0);
}

static void test_silence(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    g_free(hear(f));
    while (f->n_unresponsive == 0)
        g_main_context_iteration(NULL, TRUE);
    /* That is told once, and nobody is asked any more. */
    gint64 end_us = g_get_monotonic_time() + 5 * TIMEOUT_MS * 1000;
    while (g_get_monotonic_time() < end_us)
        g_main_context_iteration(NULL, FALSE);
    g_assert_cmpuint(f->n_unresponsive, ==, 1);
}

/* A launcher that was stopped finds its timer due, and the answer in the socket. */
static void test_we_were_stopped(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);
    g_autofree char *line = hear(f);

    answer(f, line, "\"return\":{}");
    g_usleep(3 * TIMEOUT_MS * 1000); /* nothing is dispatched meanwhile */
    g_free(hear(f));
    g_assert_cmpuint(f->n_unresponsive, ==, 0);
}

static void test_freed_while_it_waits(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    g_free(hear(f));
    g_clear_pointer(&f->vm.qmp, cvd_qmp_free);
    g_assert_cmpuint(f->n_unresponsive, ==, 0);
}

/* ---- Callers' commands under way ---- */

static void on_answer(CvdJsonSpan result, const GError *error, gpointer data)
{
    ((Fixture *)data)->n_answers++;
}

static void wait_ms(guint ms)
{
    gint64 end_us = g_get_monotonic_time() + 1000 * (gint64)ms;

    while (g_get_monotonic_time() < end_us)
        g_main_context_iteration(NULL, FALSE);
}

static void iterate_until_unresponsive(Fixture *f)
{
    while (f->n_unresponsive == 0)
        g_main_context_iteration(NULL, TRUE);
}

/* Somebody who waits for a long command, many times the limit: QEMU is busy, and does not hang.
 * When it has answered that the heartbeat has its usual time. */
static void test_long_command(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    cvd_qmp_pass_on(f->vm.qmp, "{\"execute\":\"dump-guest-memory\"}", on_answer, f);
    g_free(hear(f));
    wait_ms(2 * CVD_QMP_FORGOTTEN_LIMITS * TIMEOUT_MS);
    g_assert_cmpuint(f->n_unresponsive, ==, 0);
    g_autofree char *line = hear(f);
    say(f, "{\"return\":{},\"id\":2}\n");
    answer(f, line, "\"return\":{}");
    g_free(hear(f)); /* the next question */
    g_assert_cmpuint(f->n_answers, ==, 1);
    g_assert_cmpuint(f->n_unresponsive, ==, 0);
    iterate_until_unresponsive(f);
}

/* QEMU reads 1 MB of a caller's question in many times the limit: it is busy with that. One that
 * stops in the middle hangs. */
static void test_slow_reader(Fixture *f, gconstpointer data)
{
    gboolean stops = data != NULL;
    g_autofree char *argument = g_strnfill(1000 * 1000, 'x');
    g_autofree char *command =
        g_strdup_printf("{\"execute\":\"query-status\",\"arguments\":{\"x\":\"%s\"}}", argument);
    cvd_vm_start_heartbeat(&f->vm, SLOW_TIMEOUT_MS);
    char bytes[16384];
    gsize n_read = 0;

    cvd_qmp_pass_on(f->vm.qmp, command, on_answer, f);
    while (n_read < (stops ? strlen(command) / 2 : strlen(command))) {
        gssize n = recv(f->qemu, bytes, sizeof bytes, MSG_DONTWAIT);
        n_read += (gsize)MAX(n, 0);
        wait_ms(SLOW_TIMEOUT_MS / 10);
        g_assert_cmpuint(f->n_unresponsive, ==, 0);
    }
    if (!stops)
        say(f, "{\"return\":{},\"id\":2}\n");
    iterate_until_unresponsive(f);
    g_assert_cmpuint(f->n_answers, ==, stops ? 0 : 1);
}

/* One whose caller has gone has ten times the limit, and no more. */
static void test_forgotten_command(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);
    gint64 start_us = g_get_monotonic_time();

    cvd_qmp_pass_on(f->vm.qmp, "{\"execute\":\"dump-guest-memory\"}", on_answer, f);
    cvd_qmp_forget(f->vm.qmp, f);
    iterate_until_unresponsive(f);
    g_assert_cmpint(g_get_monotonic_time() - start_us, >=,
                    1000 * CVD_QMP_FORGOTTEN_LIMITS * TIMEOUT_MS);
    g_clear_pointer(&f->vm.qmp, cvd_qmp_free);
    g_assert_cmpuint(f->n_answers, ==, 0);
}

/* One who polls a QEMU that hangs, and fills all places: the hang is noticed all the same. */
static void test_polled(Fixture *f, gconstpointer data)
{
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    while (f->n_unresponsive == 0) {
        cvd_qmp_pass_on(f->vm.qmp, data, on_answer, f);
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(f->n_answers, >, 0); /* refusals */
}

/* The same with commands of the launcher's own: a refusal is no answer of QEMU's. */
static void test_own_places_full(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < CVD_QMP_MAX_PENDING; i++)
        cvd_qmp_execute(f->vm.qmp, "cont", NULL, NULL, NULL);
    cvd_vm_start_heartbeat(&f->vm, TIMEOUT_MS);

    iterate_until_unresponsive(f);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/heartbeat/answers", test_answers);
    add("/heartbeat/silence", test_silence);
    add("/heartbeat/we-were-stopped", test_we_were_stopped);
    add("/heartbeat/freed-while-it-waits", test_freed_while_it_waits);
    add("/heartbeat/long-command", test_long_command);
    add("/heartbeat/forgotten-command", test_forgotten_command);
    add("/heartbeat/own-places-full", test_own_places_full);
    g_test_add("/heartbeat/slow-reader", Fixture, NULL, set_up, test_slow_reader, tear_down);
    g_test_add("/heartbeat/slow-reader-stops", Fixture, "", set_up, test_slow_reader, tear_down);
    g_test_add("/heartbeat/polled/query", Fixture, "{\"execute\":\"query-block\"}", set_up,
               test_polled, tear_down);
    g_test_add("/heartbeat/polled/qom-get", Fixture, "{\"execute\":\"qom-get\"}", set_up,
               test_polled, tear_down);
    return g_test_run();
}
