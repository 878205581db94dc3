/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of a QMP stream that says anything, while QEMU answers: QEMU is sent one JSON object a
 * line, nothing else, and the stream ends when the client has said all.
 */
#include "launcher/qemu/qmp-streams.h"
#include "tests/fuzz/fuzz.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static CvdQmpStreams *streams;

static void on_ready(gpointer data)
{
}

static void on_event(const char *name, JsonObject *members, const char *text, gpointer data)
{
}

static void on_closed(const GError *error, gpointer data)
{
    cvd_qmp_streams_end(streams);
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

static void say(int qemu, const char *text)
{
    if (send(qemu, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        abort();
    settle();
}

/* Of two members with one name QEMU takes none, and then knows no `id`. */
static void answer(int qemu, const char *line)
{
    g_autoptr(JsonNode) node = cvd_json_from_string(line, NULL);

    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node))
        abort();
    JsonNode *id = json_object_get_member(json_node_get_object(node), "id");
    if (id == NULL || json_node_get_value_type(id) != G_TYPE_INT64) {
        say(qemu, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"duplicate key\"}}");
        return;
    }
    g_autofree char *reply = g_strdup_printf(
        "{\"return\": {}, \"id\": %" G_GINT64_FORMAT "}{\"event\": \"E\"}", json_node_get_int(id));
    say(qemu, reply);
}

/* Of each stream there is one command under way. */
static void play_qemu(int qemu)
{
    static char line[CVD_QMP_MAX_COMMAND];
    gssize n;

    settle();
    while ((n = recv(qemu, line, sizeof line - 1, MSG_DONTWAIT)) > 0) {
        line[n] = '\0';
        if (strchr(line, '\n') != line + n - 1)
            abort();
        answer(qemu, line);
    }
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready, .event = on_event, .closed = on_closed};
    guint8 seed = size > 0 ? *data++ : 0;
    int qemu;
    int fd = fuzz_connect(&qemu);
    char byte;

    size -= size > 0;
    CvdQmp *qmp = cvd_qmp_new(fd, &handlers, NULL);
    streams = cvd_qmp_streams_new(qmp);
    say(qemu, "{\"QMP\": {}}{\"return\": {}, \"id\": 1}");
    fuzz_drain(qemu);
    int client = cvd_qmp_streams_open(streams, NULL);
    while (size > 0) {
        gsize n = fuzz_chunk(&seed, size);
        if (send(client, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < (gssize)n)
            break;
        data += n;
        size -= n;
        play_qemu(qemu);
        fuzz_drain(client);
    }
    shutdown(client, SHUT_WR);
    play_qemu(qemu);
    fuzz_drain(client);
    play_qemu(qemu);
    if (recv(client, &byte, 1, MSG_DONTWAIT) != 0)
        abort();
    close(client);
    cvd_qmp_streams_free(streams);
    cvd_qmp_free(qmp);
    close(qemu);
    return 0;
}
