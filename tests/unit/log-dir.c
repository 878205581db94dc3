/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/log-dir.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <sys/socket.h>

void test_log_dir_open(TestLogDir *logs)
{
    g_autoptr(GError) error = NULL;

    logs->runtime = g_dir_make_tmp("cvd-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("XDG_RUNTIME_DIR", logs->runtime, TRUE);
    logs->dir = cvd_instance_dir_acquire("log", &error);
    g_assert_no_error(error);
}

void test_log_dir_close(TestLogDir *logs)
{
    cvd_instance_dir_release(logs->dir, FALSE);
    g_assert_no_errno(g_rmdir(logs->runtime));
    g_free(logs->runtime);
}

GBytes *test_log_dir_read(const TestLogDir *logs, const char *name)
{
    g_autofree char *path = g_build_filename(cvd_instance_dir_get_path(logs->dir), name, NULL);
    char *content;
    gsize size;

    return g_file_get_contents(path, &content, &size, NULL) ? g_bytes_new_take(content, size)
                                                            : NULL;
}

static gboolean has_timer(GMainContext *context)
{
    int priority, timeout_ms;

    g_assert_true(g_main_context_acquire(context));
    g_main_context_prepare(context, &priority);
    g_main_context_query(context, priority, &timeout_ms, NULL, 0);
    g_main_context_release(context);
    return timeout_ms >= 0;
}

void test_settle(void)
{
    guint n_iterations = 0;

    do {
        while (g_main_context_iteration(NULL, FALSE))
            g_assert_cmpuint(++n_iterations, <, 100000); /* nobody waits in vain */
    } while (has_timer(g_main_context_default()) && g_main_context_iteration(NULL, TRUE));
}

static gpointer write_bytes(gpointer data)
{
    TestTrickle *trickle = data;

    for (guint n = 0; n < trickle->n_bytes;) {
        struct pollfd room = {.fd = trickle->fd, .events = POLLOUT};
        if (send(trickle->fd, "x", 1, MSG_NOSIGNAL) == 1)
            n++;
        else if (poll(&room, 1, -1) < 0)
            break;
    }
    g_atomic_int_set(&trickle->is_done, TRUE);
    g_main_context_wakeup(NULL);
    return NULL;
}

void test_trickle_start(TestTrickle *trickle, int fd, guint n_bytes)
{
    *trickle = (TestTrickle){.fd = fd, .n_bytes = n_bytes};
    trickle->thread = g_thread_new("trickle", write_bytes, trickle);
}

guint test_trickle_read(TestTrickle *trickle)
{
    gint64 start_us = g_get_monotonic_time();
    guint n_iterations = 0;

    for (; !g_atomic_int_get(&trickle->is_done); n_iterations++)
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(trickle->thread);
    return n_iterations / (guint)((g_get_monotonic_time() - start_us) / 1000 + 1);
}

static gboolean stay_busy(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

GSource *test_busy_source(void)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, stay_busy, NULL, NULL);
    g_source_attach(source, NULL);
    return source;
}
