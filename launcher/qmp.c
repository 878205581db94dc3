/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP is a stream of JSON objects, one a line. Bytes collect in `inbox` until a line is whole; each
 * line is a greeting, an event, or a reply, which finds its command by `id`, as events may come in
 * between. Every way in which the connection ends leads to close_connection().
 */
#include "launcher/qmp.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/json.h"

#include <errno.h>
#include <string.h>

#define READ_SIZE 4096

typedef enum {
    QMP_GREETING,    /* nothing has come yet */
    QMP_NEGOTIATING, /* `qmp_capabilities` was sent */
    QMP_READY,       /* commands and events flow */
    QMP_CLOSED,      /* the stream has ended */
} QmpState;

typedef struct {
    gint64 id;
    CvdQmpReply reply;
    gpointer user_data;
} PendingCommand;

struct CvdQmp {
    QmpState state;
    int fd;
    CvdQmpHandlers handlers;
    gpointer user_data;
    GSource *readable;
    GSource *writable; /* only while `outbox` waits for room */
    GByteArray *inbox;
    GByteArray *outbox;
    GQueue pending; /* of PendingCommand, in the order in which they were sent */
    gint64 last_id;
    GQueue tail; /* of char *: the last messages of both directions */
};

static void set_state(CvdQmp *qmp, QmpState state)
{
    g_debug("QMP state %d -> %d", qmp->state, state);
    qmp->state = state;
}

static void remember(CvdQmp *qmp, char direction, const char *message, gsize size)
{
    g_autofree char *text = g_utf8_make_valid(message, (gssize)MIN(size, CVD_QMP_TAIL_LINE_SIZE));

    g_queue_push_tail(&qmp->tail, g_strdup_printf("%c %s%s", direction, g_strchomp(text),
                                                  size > CVD_QMP_TAIL_LINE_SIZE ? "…" : ""));
    if (qmp->tail.length > CVD_QMP_TAIL_LINES)
        g_free(g_queue_pop_head(&qmp->tail));
}

char **cvd_qmp_get_tail(const CvdQmp *qmp)
{
    g_autoptr(GStrvBuilder) lines = g_strv_builder_new();

    for (const GList *link = qmp->tail.head; link != NULL; link = link->next)
        g_strv_builder_add(lines, link->data);
    return g_strv_builder_end(lines);
}

/* No command stays without an answer. */
static void end_stream(CvdQmp *qmp, const GError *error)
{
    set_state(qmp, QMP_CLOSED);
    cvd_source_clear(&qmp->readable);
    cvd_source_clear(&qmp->writable);
    cvd_close_fd(&qmp->fd);

    g_autoptr(GError) closed = g_error_new_literal(
        CVD_ERROR, CVD_ERROR_CLOSED, error != NULL ? error->message : "QMP connection closed");
    PendingCommand *command;
    while ((command = g_queue_pop_head(&qmp->pending)) != NULL) {
        if (command->reply != NULL)
            command->reply(NULL, closed, command->user_data);
        g_free(command);
    }
}

static void close_connection(CvdQmp *qmp, const GError *error)
{
    if (qmp->state == QMP_CLOSED)
        return;
    end_stream(qmp, error);
    qmp->handlers.closed(error, qmp->user_data);
}

static void violation(CvdQmp *qmp, const char *what)
{
    g_autofree char *seen = cvd_escape_bytes(qmp->inbox->data, qmp->inbox->len);
    g_autoptr(GError) error =
        g_error_new(CVD_ERROR, CVD_ERROR_PROTOCOL, "QMP: %s; QEMU sent \"%s\"", what, seen);
    close_connection(qmp, error);
}

static void negotiated(JsonNode *result, const GError *error, gpointer data)
{
    CvdQmp *qmp = data;

    if (error != NULL) {
        close_connection(qmp, error);
        return;
    }
    set_state(qmp, QMP_READY);
    qmp->handlers.ready(qmp->user_data);
}

static GError *error_of_reply(JsonObject *reply)
{
    JsonNode *node = json_object_get_member(reply, "error");
    const char *text = NULL;

    if (node != NULL && JSON_NODE_HOLDS_OBJECT(node)) {
        JsonNode *desc = json_object_get_member(json_node_get_object(node), "desc");
        if (desc != NULL && json_node_get_value_type(desc) == G_TYPE_STRING)
            text = json_node_get_string(desc);
    }
    return g_error_new(CVD_ERROR, CVD_ERROR_FAILED, "QEMU: %.*s", CVD_QMP_MAX_DESCRIPTION,
                       text != NULL ? text : "an error without a description");
}

static void handle_reply(CvdQmp *qmp, JsonObject *message)
{
    JsonNode *id = json_object_get_member(message, "id");
    GList *link = NULL;

    if (id != NULL && json_node_get_value_type(id) == G_TYPE_INT64)
        for (link = qmp->pending.head; link != NULL; link = link->next)
            if (((PendingCommand *)link->data)->id == json_node_get_int(id))
                break;
    if (link == NULL) {
        violation(qmp, "a reply to no command");
        return;
    }

    g_autofree PendingCommand *command = link->data;
    g_queue_delete_link(&qmp->pending, link);
    if (command->reply == NULL)
        return;
    JsonNode *result = json_object_get_member(message, "return");
    g_autoptr(GError) error = result == NULL ? error_of_reply(message) : NULL;
    command->reply(result, error, command->user_data);
}

static void handle_event(CvdQmp *qmp, JsonObject *message)
{
    JsonNode *name = json_object_get_member(message, "event");
    JsonNode *data = json_object_get_member(message, "data");

    if (json_node_get_value_type(name) != G_TYPE_STRING) {
        violation(qmp, "an event without a name");
        return;
    }
    if (qmp->state == QMP_READY)
        qmp->handlers.event(
            json_node_get_string(name),
            data != NULL && JSON_NODE_HOLDS_OBJECT(data) ? json_node_get_object(data) : NULL,
            qmp->user_data);
}

static void handle_message(CvdQmp *qmp, JsonObject *message)
{
    if (json_object_has_member(message, "QMP") && qmp->state == QMP_GREETING) {
        set_state(qmp, QMP_NEGOTIATING);
        cvd_qmp_execute(qmp, "qmp_capabilities", NULL, negotiated, qmp);
    } else if (json_object_has_member(message, "event")) {
        handle_event(qmp, message);
    } else if (json_object_has_member(message, "return") ||
               json_object_has_member(message, "error")) {
        handle_reply(qmp, message);
    } else {
        violation(qmp, "neither greeting, reply nor event");
    }
}

static void handle_line(CvdQmp *qmp, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cvd_json_parse((const char *)qmp->inbox->data, size, NULL, &error);

    remember(qmp, '<', (const char *)qmp->inbox->data, size);
    if (root == NULL)
        violation(qmp, error->message);
    else if (!JSON_NODE_HOLDS_OBJECT(root))
        violation(qmp, "not a JSON object");
    else
        handle_message(qmp, json_node_get_object(root));
}

/* Handles each whole line; `n_old` bytes were looked at before and hold no line end. */
static void handle_inbox(CvdQmp *qmp, gsize n_old)
{
    while (qmp->state != QMP_CLOSED && qmp->inbox->len > n_old) {
        guint8 *end = memchr(qmp->inbox->data + n_old, '\n', qmp->inbox->len - n_old);
        if (end == NULL)
            break;
        gsize size = (gsize)(end - qmp->inbox->data);
        handle_line(qmp, size);
        g_byte_array_remove_range(qmp->inbox, 0, (guint)size + 1);
        n_old = 0;
    }
    if (qmp->inbox->len > CVD_JSON_MAX_SIZE)
        violation(qmp, "a line of more than 1 MiB");
}

/* Returns: whether there may be more to read */
static gboolean read_some(CvdQmp *qmp)
{
    guint n_old = qmp->inbox->len;
    g_byte_array_set_size(qmp->inbox, n_old + READ_SIZE);
    gssize n = cvd_socket_receive(qmp->fd, qmp->inbox->data + n_old, READ_SIZE, NULL, 0);
    int saved_errno = errno;
    g_byte_array_set_size(qmp->inbox, n_old + (guint)MAX(n, 0));

    if (n > 0) {
        handle_inbox(qmp, n_old);
        return qmp->state != QMP_CLOSED;
    }
    if (n < 0 && saved_errno == EAGAIN)
        return FALSE;
    /* A reset means that QEMU exited with something of ours unread: an end like any other. */
    if (n == 0 || saved_errno == ECONNRESET) {
        close_connection(qmp, NULL);
        return FALSE;
    }
    g_autoptr(GError) error = NULL;
    cvd_set_error_errno(&error, CVD_ERROR_FAILED, saved_errno, "cannot read from QMP");
    close_connection(qmp, error);
    return FALSE;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    read_some(data);
    return G_SOURCE_CONTINUE;
}

static void flush(CvdQmp *qmp);

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    CvdQmp *qmp = data;

    cvd_source_clear(&qmp->writable);
    flush(qmp);
    return G_SOURCE_REMOVE;
}

static void flush(CvdQmp *qmp)
{
    while (qmp->outbox->len > 0) {
        gssize n = cvd_socket_send(qmp->fd, qmp->outbox->data, qmp->outbox->len, NULL, 0);
        if (n < 0) {
            /* After an error the read side tells what happened, with the last events before it. */
            if (errno == EAGAIN && qmp->writable == NULL)
                qmp->writable = cvd_source_watch_fd(qmp->fd, G_IO_OUT, on_writable, qmp);
            return;
        }
        g_byte_array_remove_range(qmp->outbox, 0, (guint)n);
    }
}

CvdQmp *cvd_qmp_new(int take_fd, const CvdQmpHandlers *handlers, gpointer user_data)
{
    CvdQmp *qmp = g_new0(CvdQmp, 1);

    qmp->fd = take_fd;
    qmp->handlers = *handlers;
    qmp->user_data = user_data;
    qmp->inbox = g_byte_array_new();
    qmp->outbox = g_byte_array_new();
    qmp->readable = cvd_source_watch_fd(qmp->fd, G_IO_IN, on_readable, qmp);
    return qmp;
}

void cvd_qmp_free(CvdQmp *qmp)
{
    end_stream(qmp, NULL);
    g_queue_clear_full(&qmp->tail, g_free);
    g_byte_array_unref(qmp->inbox);
    g_byte_array_unref(qmp->outbox);
    g_free(qmp);
}

static char *format_command(const char *command, gint64 id, JsonNode *arguments)
{
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), object);

    json_object_set_string_member(object, "execute", command);
    json_object_set_int_member(object, "id", id);
    if (arguments != NULL)
        json_object_set_member(object, "arguments", arguments);
    return json_to_string(root, FALSE);
}

/* A QEMU that answers what it has not read could make `outbox` grow without a pending command. */
static gboolean may_execute(const CvdQmp *qmp, const char *command, gsize size, GError **error)
{
    if (qmp->state == QMP_CLOSED)
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED, "%s: QMP connection closed", command);
    else if (qmp->pending.length >= CVD_QMP_MAX_PENDING)
        g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                    "%s: too many QMP commands wait for replies", command);
    else if (qmp->outbox->len + size + 1 > CVD_QMP_MAX_UNREAD)
        g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES, "%s: QEMU does not read its commands",
                    command);
    else
        return TRUE;
    return FALSE;
}

void cvd_qmp_execute(CvdQmp *qmp, const char *command, JsonNode *take_arguments, CvdQmpReply reply,
                     gpointer user_data)
{
    g_autofree char *text = format_command(command, ++qmp->last_id, take_arguments);

    g_autoptr(GError) error = NULL;
    if (!may_execute(qmp, command, strlen(text), &error)) {
        if (reply != NULL)
            reply(NULL, error, user_data);
        return;
    }

    PendingCommand *pending = g_new(PendingCommand, 1);
    *pending = (PendingCommand){.id = qmp->last_id, .reply = reply, .user_data = user_data};
    g_queue_push_tail(&qmp->pending, pending);
    g_debug("QMP > %s", text);
    remember(qmp, '>', text, strlen(text));
    g_byte_array_append(qmp->outbox, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(qmp->outbox, (const guint8 *)"\n", 1);
    if (qmp->writable == NULL)
        flush(qmp);
}

void cvd_qmp_read_rest(CvdQmp *qmp)
{
    for (gsize n = 0; n < CVD_JSON_MAX_SIZE; n += READ_SIZE)
        if (qmp->state == QMP_CLOSED || !read_some(qmp))
            break;
}
