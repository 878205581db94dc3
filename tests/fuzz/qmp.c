/* SPDX-License-Identifier: Apache-2.0 */
/* A QEMU that says anything, while commands wait for replies: each gets one answer, once. */
#include "launcher/qemu/qmp.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static guint n_asked, n_answered, n_closed;
static CvdQmp *qmp;

static void on_reply(CvdJsonSpan result, const GError *error, gpointer data)
{
    if ((result.text == NULL) == (error == NULL))
        abort();
    n_answered++;
}

static void on_ready(gpointer data)
{
    for (guint i = 0; i < 2; i++) {
        n_asked++;
        cvd_qmp_pass_on(qmp, i == 0 ? "{\"execute\":\"a\",\"id\":7}" : "{\"execute\":\"a\"}",
                        on_reply, NULL);
    }
    for (guint i = 0; i < 3; i++) {
        n_asked++;
        cvd_qmp_execute(qmp, "query-status", NULL, on_reply, NULL);
    }
}

static void on_event(const char *name, JsonObject *event_data, const char *text, gpointer data)
{
    if (name == NULL)
        abort();
}

static void on_closed(const GError *error, gpointer data)
{
    n_closed++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    return 0;
}

static void settle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready, .event = on_event, .closed = on_closed};
    guint8 seed = size > 0 ? *data++ : 0;
    int qemu;
    int fd = fuzz_connect(&qemu);

    size -= size > 0;
    n_asked = n_answered = n_closed = 0;
    qmp = cvd_qmp_new(fd, &handlers, NULL);
    while (size > 0) {
        gsize n = fuzz_chunk(&seed, size);
        if (send(qemu, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < (gssize)n)
            break;
        data += n;
        size -= n;
        settle();
        fuzz_drain(qemu);
    }
    g_auto(GStrv) tail = cvd_qmp_get_tail(qmp);
    for (char **line = tail; *line != NULL; line++)
        if (!g_utf8_validate(*line, -1, NULL))
            abort();
    close(qemu);
    settle();
    cvd_qmp_read_rest(qmp);
    if (n_asked != n_answered || n_closed != 1)
        abort();
    cvd_qmp_free(qmp);
    return 0;
}
