/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP is a stream of JSON objects. Bytes collect in `inbox` until an object is whole; it is a
 * greeting, an event, or a reply, which finds its command by `id`, as events may come in between.
 * QEMU carries commands out one by one, in order. Every way in which the connection ends leads to
 * close_connection().
 *
 * Callers' commands wait in `waiting`, and QEMU is given the next when it has answered the one
 * before: so the launcher's own never have more than one of them before them.
 */
#include "launcher/qemu/qmp.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json-stream.h"
#include "base/json.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/qemu/qmp-message.h"
#include "launcher/qemu/qmp-outbox.h"

#include <errno.h>
#include <string.h>

#define READ_SIZE 16384
/* How much is read of what a QEMU that is gone has sent. */
#define MAX_REST    (1024 * 1024)
#define MAX_REST_US (100 * G_TIME_SPAN_MILLISECOND)

typedef enum {
    QMP_GREETING,    /* nothing has come yet */
    QMP_NEGOTIATING, /* `qmp_capabilities` was sent */
    QMP_READY,       /* commands flow */
    QMP_CLOSED,      /* the stream has ended */
} QmpState;

typedef struct {
    gint64 id;
    CvdQmpReply reply; /* NULL if nobody waits for it */
    gpointer user_data;
    char *name; /* of a caller's: in quotes, as it was written; NULL: the launcher's own */
    gint64 sent_us;
    char *text;          /* of callers' commands, until it is sent */
    char *caller_id;     /* as the caller wrote it; NULL without */
    gboolean is_relayed; /* the caller wants QEMU's reply as such, also if it is an error */
} Command;

/* To a command: a part of the message that it is in, or why there is none. */
typedef struct {
    CvdJsonSpan result;
    CvdJsonSpan refusal; /* what QEMU says in `error`, which is then in @error, too */
    const GError *error;
} Answer;

/* What is of interest in a message. */
typedef enum {
    EVENT,
    DATA,
    RETURN,
    ERROR,
    ID,
    GREETING,
    N_MEMBERS
} Member;
static const char *const member_names[] = {"event", "data", "return", "error", "id", "QMP", NULL};

struct CvdQmp {
    QmpState state;
    int fd;
    CvdQmpHandlers handlers;
    gpointer user_data;
    GSource *readable;
    CvdJsonStream inbox;
    CvdJsonSpan members[N_MEMBERS]; /* of the message in `inbox` */
    gboolean is_handling;           /* that message */
    CvdQmpOutbox outbox;
    GQueue sent;             /* of Command, in order: they are answered in order, too */
    GQueue waiting;          /* of Command, callers' */
    gsize n_waiting_bytes;   /* of their texts */
    Command *callers;        /* the one in `sent`, if any */
    Command *passing;        /* the one in `sent` that has a descriptor, if any */
    guint n_own;             /* others in `sent` */
    gint64 last_answered_us; /* when QEMU last went on to another command, or was seen to read */
    gsize n_unread;          /* bytes, when that was looked at last */
    gint64 last_id;
    char *greeting; /* as it goes to others; NULL before it came */
    GQueue tail;    /* of char *: the last messages of both directions */
    CvdLogLimit log_limit;
};

static void set_state(CvdQmp *qmp, QmpState state)
{
    static const char *const names[] = {"greeting", "negotiating", "ready", "closed"};

    if (state != qmp->state)
        g_debug("QMP state %s -> %s", names[qmp->state], names[state]);
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

/* ---- Commands and their answers ---- */

static void command_free(Command *command)
{
    g_free(command->text);
    g_free(command->caller_id);
    g_free(command->name);
    g_free(command);
}

static void give(Command *command, CvdJsonSpan result, const GError *error)
{
    if (command->reply != NULL)
        command->reply(result, error, command->user_data);
    command_free(command);
}

/* With what the caller needs to know whose reply it is. */
static void give_reply(Command *command, const char *member, CvdJsonSpan value)
{
    g_autofree char *reply = cvd_qmp_reply(member, value, command->caller_id);

    give(command, (CvdJsonSpan){reply, strlen(reply)}, NULL);
}

static void give_refusal(Command *command, const char *description)
{
    g_autofree char *reply = cvd_qmp_refusal("GenericError", description, command->caller_id);

    give(command, (CvdJsonSpan){reply, strlen(reply)}, NULL);
}

static void answer(Command *take_command, const Answer *answer)
{
    gboolean is_relayed = take_command->is_relayed;

    if (answer->error == NULL && (is_relayed || take_command->caller_id != NULL))
        give_reply(take_command, "return", answer->result);
    else if (is_relayed && answer->refusal.text != NULL)
        give_reply(take_command, "error", answer->refusal);
    else if (is_relayed && !g_error_matches(answer->error, CVD_ERROR, CVD_ERROR_CLOSED))
        give_refusal(take_command, answer->error->message);
    else
        give(take_command, answer->result, answer->error);
}

/* No command stays without an answer. */
static void end_stream(CvdQmp *qmp, const GError *error)
{
    set_state(qmp, QMP_CLOSED);
    cvd_source_clear(&qmp->readable);
    cvd_qmp_outbox_clear(&qmp->outbox);
    cvd_close_fd(&qmp->fd);
    qmp->callers = qmp->passing = NULL;

    g_autoptr(GError) closed = g_error_new_literal(
        CVD_ERROR, CVD_ERROR_CLOSED, error != NULL ? error->message : "QMP connection closed");
    Command *command;
    while ((command = g_queue_pop_head(&qmp->sent)) != NULL ||
           (command = g_queue_pop_head(&qmp->waiting)) != NULL)
        answer(command, &(Answer){.error = closed});
}

static void close_connection(CvdQmp *qmp, const GError *error)
{
    if (qmp->state == QMP_CLOSED)
        return;
    end_stream(qmp, error);
    qmp->handlers.closed(error, qmp->user_data);
}

/* QEMU reads some 0.3 MB a second, so a long command takes it time before it has all of it. */
static void note_reading(CvdQmp *qmp)
{
    gsize n_before = qmp->n_unread;

    if (qmp->state == QMP_CLOSED)
        return;
    qmp->n_unread = cvd_qmp_outbox_get_unread(&qmp->outbox);
    if (qmp->n_unread < n_before)
        qmp->last_answered_us = g_get_monotonic_time();
}

static void send_command(CvdQmp *qmp, Command *take_command, const char *text, int take_fd)
{
    note_reading(qmp);
    take_command->sent_us = g_get_monotonic_time();
    g_queue_push_tail(&qmp->sent, take_command);
    g_debug("QMP > %.*s", CVD_QMP_TAIL_LINE_SIZE, text);
    remember(qmp, '>', text, strlen(text));
    cvd_qmp_outbox_send(&qmp->outbox, text, take_fd);
    note_reading(qmp); /* from here on */
}

/* A QEMU that answers what it has not read gets no more until it does. */
static void send_next_of_callers(CvdQmp *qmp)
{
    if (qmp->callers != NULL || qmp->state != QMP_READY || qmp->outbox.bytes->len > 0)
        return;
    qmp->callers = g_queue_pop_head(&qmp->waiting);
    if (qmp->callers == NULL)
        return;
    g_autofree char *text = g_steal_pointer(&qmp->callers->text);
    qmp->n_waiting_bytes -= strlen(text);
    send_command(qmp, qmp->callers, text, -1);
}

static void answer_sent(CvdQmp *qmp, GList *link, const Answer *given)
{
    Command *command = link->data;

    g_queue_delete_link(&qmp->sent, link);
    if (command->name != NULL)
        qmp->callers = NULL;
    else
        qmp->n_own--;
    if (command == qmp->passing)
        qmp->passing = NULL;
    qmp->last_answered_us = g_get_monotonic_time();
    answer(command, given);
    send_next_of_callers(qmp);
}

/* ---- From QEMU ---- */

/* The message at hand. */
static void pass_over(CvdQmp *qmp, const char *what)
{
    g_autofree char *seen = cvd_escape_bytes(qmp->inbox.bytes->data, qmp->inbox.size);

    if (cvd_log_limit_pass(&qmp->log_limit, g_get_monotonic_time()))
        g_warning("QMP: passed over %s: \"%s\"", what, seen);
}

static void negotiated(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdQmp *qmp = data;

    if (error != NULL) {
        close_connection(qmp, error);
        return;
    }
    set_state(qmp, QMP_READY);
    qmp->handlers.ready(qmp->user_data);
}

static GError *error_of_reply(CvdJsonSpan span)
{
    g_autoptr(JsonNode) node = cvd_json_parse_leniently(span);
    const char *text =
        JSON_NODE_HOLDS_OBJECT(node) ? cvd_json_get_text(json_node_get_object(node), "desc") : NULL;

    return g_error_new(CVD_ERROR, CVD_ERROR_FAILED, "QEMU: %.*s", CVD_QMP_MAX_DESCRIPTION,
                       text != NULL ? text : "an error without a description");
}

static GList *find_sent(CvdQmp *qmp, CvdJsonSpan id)
{
    g_autofree char *text = g_strndup(id.text, id.size);
    guint64 number;

    if (g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT64, &number, NULL))
        for (GList *link = qmp->sent.head; link != NULL; link = link->next)
            if (((Command *)link->data)->id == (gint64)number)
                return link;
    return NULL;
}

/* Of a command that it could not parse QEMU does not know the `id`. */
static void handle_reply(CvdQmp *qmp)
{
    CvdJsonSpan id = qmp->members[ID];
    CvdJsonSpan result = qmp->members[RETURN];
    GList *link = id.text != NULL ? find_sent(qmp, id) : NULL;

    if (id.text == NULL && result.text == NULL)
        link = qmp->sent.head;
    if (link == NULL) {
        pass_over(qmp, "a reply to no command");
        return;
    }
    CvdJsonSpan refusal = qmp->members[ERROR];
    g_autoptr(GError) failure = result.text == NULL ? error_of_reply(refusal) : NULL;
    answer_sent(qmp, link, &(Answer){result, refusal, failure});
}

static void handle_event(CvdQmp *qmp)
{
    CvdJsonSpan data = qmp->members[DATA];
    g_autoptr(JsonNode) name = cvd_json_parse_leniently(qmp->members[EVENT]);

    if (json_node_get_value_type(name) != G_TYPE_STRING) {
        pass_over(qmp, "an event without a name");
        return;
    }
    g_autoptr(JsonNode) members = cvd_json_parse_leniently(data);
    g_autofree char *text = data.text != NULL && data.size <= CVD_JSON_MAX_SIZE
                                ? g_utf8_make_valid(data.text, (gssize)data.size)
                                : NULL;
    qmp->handlers.event(json_node_get_string(name),
                        JSON_NODE_HOLDS_OBJECT(members) ? json_node_get_object(members) : NULL,
                        text, qmp->user_data);
}

const char *cvd_qmp_get_greeting(const CvdQmp *qmp)
{
    return qmp->greeting;
}

char *cvd_qmp_get_version(const CvdQmp *qmp)
{
    return qmp->greeting != NULL ? cvd_qmp_version_of_greeting(qmp->greeting) : NULL;
}

static gboolean has_member(const CvdQmp *qmp, Member member)
{
    return qmp->members[member].text != NULL;
}

static void handle_message(CvdQmp *qmp)
{
    remember(qmp, '<', (const char *)qmp->inbox.bytes->data, qmp->inbox.size);
    cvd_json_find(cvd_json_stream_get(&qmp->inbox), member_names, qmp->members);
    if (has_member(qmp, EVENT)) {
        if (qmp->handlers.event_text != NULL)
            qmp->handlers.event_text(cvd_json_stream_get(&qmp->inbox), qmp->user_data);
        handle_event(qmp);
    } else if (has_member(qmp, RETURN) || has_member(qmp, ERROR)) {
        handle_reply(qmp);
    } else if (has_member(qmp, GREETING) && qmp->state == QMP_GREETING) {
        set_state(qmp, QMP_NEGOTIATING);
        qmp->greeting = cvd_qmp_greeting(qmp->members[GREETING]);
        cvd_qmp_execute(qmp, "qmp_capabilities", NULL, negotiated, qmp);
    } else {
        pass_over(qmp, "what is neither greeting, reply nor event");
    }
}

/* Whose reply it is may stand at its end: as they come in order, it is the oldest command's. */
static void handle_too_long(CvdQmp *qmp)
{
    g_autoptr(GError) error =
        g_error_new(CVD_ERROR, CVD_ERROR_RESOURCES, "QEMU's reply is longer than %d bytes",
                    CVD_QMP_MAX_MESSAGE);

    pass_over(qmp, "a message that is too long");
    cvd_json_find(cvd_json_stream_get(&qmp->inbox), member_names, qmp->members);
    if (!has_member(qmp, EVENT) && qmp->sent.length > 0)
        answer_sent(qmp, qmp->sent.head, &(Answer){.error = error});
}

static void give_up(CvdQmp *qmp)
{
    g_autofree char *seen = cvd_escape_bytes(qmp->inbox.bytes->data, qmp->inbox.bytes->len);
    g_autoptr(GError) error = g_error_new(CVD_ERROR, CVD_ERROR_PROTOCOL,
                                          "QMP: not a JSON object; QEMU sent \"%s\"", seen);

    close_connection(qmp, error);
}

/* Returns: whether there may be another message */
static gboolean handle_next(CvdQmp *qmp)
{
    switch (cvd_json_stream_next(&qmp->inbox)) {
    case CVD_JSON_STREAM_WANTS_MORE:
        return FALSE;
    case CVD_JSON_STREAM_GARBAGE:
        give_up(qmp);
        break;
    case CVD_JSON_STREAM_TOO_LONG:
        handle_too_long(qmp);
        break;
    case CVD_JSON_STREAM_OBJECT:
        handle_message(qmp);
        break;
    }
    return qmp->state != QMP_CLOSED;
}

/* Returns: whether there may be more to read. A reset means that QEMU exited with something of ours
 * unread: an end like any other. */
static gboolean read_some(CvdQmp *qmp)
{
    guint8 bytes[READ_SIZE];
    gssize n = cvd_socket_receive(qmp->fd, bytes, sizeof bytes, NULL, 0);
    g_autoptr(GError) error = NULL;

    if (n < 0 && errno == EAGAIN)
        return FALSE;
    if (n < 0 && errno != ECONNRESET)
        cvd_set_error_errno(&error, CVD_ERROR_FAILED, errno, "cannot read from QMP");
    if (n <= 0) {
        close_connection(qmp, error);
        return FALSE;
    }
    g_byte_array_append(qmp->inbox.bytes, bytes, (guint)n);
    qmp->is_handling = TRUE;
    while (handle_next(qmp))
        ;
    qmp->is_handling = FALSE;
    return qmp->state != QMP_CLOSED;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    read_some(data);
    return G_SOURCE_CONTINUE;
}

void cvd_qmp_read_rest(CvdQmp *qmp)
{
    if (qmp->is_handling)
        return;
    gint64 end_us = g_get_monotonic_time() + MAX_REST_US;
    for (gsize n = 0; n < MAX_REST && g_get_monotonic_time() < end_us; n += READ_SIZE)
        if (qmp->state == QMP_CLOSED || !read_some(qmp))
            break;
}

/* ---- To QEMU ---- */

/* What callers have under way, which is one command at a time, does not count. */
static gboolean may_execute(const CvdQmp *qmp, const char *command, gsize size, GError **error)
{
    if (qmp->state == QMP_CLOSED)
        return cvd_fail(error, CVD_ERROR_CLOSED, "%s: QMP connection closed", command);
    if (qmp->n_own >= CVD_QMP_MAX_PENDING)
        return cvd_fail(error, CVD_ERROR_RESOURCES, "%s: %d QMP commands wait for replies already",
                        command, CVD_QMP_MAX_PENDING);
    if (qmp->outbox.bytes->len + size + 1 > 2 * CVD_QMP_MAX_UNREAD)
        return cvd_fail(error, CVD_ERROR_RESOURCES, "%s: QEMU does not read its commands", command);
    return TRUE;
}

/* A descriptor that has come before the one before it was taken would take its place. */
static gboolean may_pass(const CvdQmp *qmp, const char *command, GError **error)
{
    if (qmp->passing != NULL || qmp->outbox.passed_fd >= 0)
        return cvd_fail(error, CVD_ERROR_RESOURCES, "%s: QEMU has yet to take another descriptor",
                        command);
    return TRUE;
}

/* @take_fd: −1 = none */
static void execute(CvdQmp *qmp, const char *command, const char *arguments, int take_fd,
                    CvdQmpReply reply, gpointer user_data)
{
    cvd_autofd fd = take_fd;
    g_autofree char *text = g_strdup_printf(
        "{\"execute\":\"%s\",\"id\":%" G_GINT64_FORMAT "%s%s}", command, ++qmp->last_id,
        arguments != NULL ? ",\"arguments\":" : "", arguments != NULL ? arguments : "");
    g_autoptr(GError) error = NULL;

    if (!may_execute(qmp, command, strlen(text), &error) ||
        (fd >= 0 && !may_pass(qmp, command, &error))) {
        if (reply != NULL)
            reply((CvdJsonSpan){0}, error, user_data);
        return;
    }
    Command *own = g_new(Command, 1);
    *own = (Command){.id = qmp->last_id, .reply = reply, .user_data = user_data};
    qmp->n_own++;
    if (fd >= 0)
        qmp->passing = own;
    send_command(qmp, own, text, g_steal_fd(&fd));
}

void cvd_qmp_execute(CvdQmp *qmp, const char *command, const char *arguments, CvdQmpReply reply,
                     gpointer user_data)
{
    execute(qmp, command, arguments, -1, reply, user_data);
}

void cvd_qmp_pass_fd(CvdQmp *qmp, const char *name, int take_fd, CvdQmpReply reply,
                     gpointer user_data)
{
    g_autofree char *arguments = g_strdup_printf("{\"fdname\":\"%s\"}", name);

    execute(qmp, "getfd", arguments, take_fd, reply, user_data);
}

/* ---- Callers' commands ---- */

/* QEMU checks what is in it, with the caller's `id` replaced by ours. */
static gboolean compose(Command *command, const char *given, GError **error)
{
    g_auto(CvdQmpRequest) request;
    gboolean is_command = cvd_qmp_request_parse(given, &request, error);

    if (request.id.text != NULL)
        command->caller_id = g_strndup(request.id.text, request.id.size);
    if (!is_command)
        return FALSE;
    command->text = cvd_qmp_request_with_id(&request, command->id);
    command->name = g_steal_pointer(&request.name);
    return TRUE;
}

static gboolean may_wait(const CvdQmp *qmp, gsize size, GError **error)
{
    guint n = qmp->waiting.length + (qmp->callers != NULL && qmp->callers->reply != NULL);

    if (qmp->state == QMP_CLOSED)
        return cvd_fail(error, CVD_ERROR_CLOSED, "QMP connection closed");
    if (n >= CVD_QMP_MAX_PENDING)
        return cvd_fail(error, CVD_ERROR_RESOURCES, "%d commands wait for QEMU already",
                        CVD_QMP_MAX_PENDING);
    if (qmp->n_waiting_bytes + size > CVD_QMP_MAX_UNREAD)
        return cvd_fail(error, CVD_ERROR_RESOURCES,
                        "the commands that wait for QEMU would have more than %d bytes",
                        CVD_QMP_MAX_UNREAD);
    return TRUE;
}

static void take_callers(CvdQmp *qmp, Command *take_command, const char *given)
{
    g_autoptr(GError) error = NULL;

    take_command->id = ++qmp->last_id;
    if (!compose(take_command, given, &error) ||
        !may_wait(qmp, strlen(take_command->text), &error)) {
        answer(take_command, &(Answer){.error = error});
        return;
    }
    if (qmp->handlers.passed_on != NULL)
        qmp->handlers.passed_on(take_command->name, qmp->user_data);
    qmp->n_waiting_bytes += strlen(take_command->text);
    g_queue_push_tail(&qmp->waiting, take_command);
    send_next_of_callers(qmp);
}

void cvd_qmp_pass_on(CvdQmp *qmp, const char *command, CvdQmpReply reply, gpointer user_data)
{
    Command *callers = g_new(Command, 1);

    *callers = (Command){.reply = reply, .user_data = user_data};
    take_callers(qmp, callers, command);
}

void cvd_qmp_relay(CvdQmp *qmp, const char *command, CvdQmpReply reply, gpointer user_data)
{
    Command *callers = g_new(Command, 1);

    *callers = (Command){.reply = reply, .user_data = user_data, .is_relayed = TRUE};
    take_callers(qmp, callers, command);
}

void cvd_qmp_forget(CvdQmp *qmp, gpointer user_data)
{
    if (qmp->callers != NULL && qmp->callers->user_data == user_data)
        qmp->callers->reply = NULL;
    for (GList *link = qmp->waiting.head, *next; link != NULL; link = next) {
        Command *command = link->data;
        next = link->next;
        if (command->user_data != user_data)
            continue;
        g_queue_delete_link(&qmp->waiting, link);
        qmp->n_waiting_bytes -= strlen(command->text);
        command_free(command);
    }
}

static gboolean only_reads(const Command *command)
{
    return g_str_has_prefix(command->name, "\"query-") || strcmp(command->name, "\"qom-get\"") == 0;
}

gboolean cvd_qmp_is_overdue(CvdQmp *qmp, guint limit_ms)
{
    const Command *oldest = g_queue_peek_head(&qmp->sent);
    gint64 limit_us = 1000 * (gint64)limit_ms;

    note_reading(qmp);
    if (oldest == NULL)
        return FALSE;
    if (oldest->name != NULL && !only_reads(oldest)) {
        if (oldest->reply != NULL)
            return FALSE;
        limit_us *= CVD_QMP_FORGOTTEN_LIMITS;
    }
    return g_get_monotonic_time() - MAX(oldest->sent_us, qmp->last_answered_us) >= limit_us;
}

/* ---- Beginning and end ---- */

static void on_emptied(gpointer data)
{
    send_next_of_callers(data);
}

CvdQmp *cvd_qmp_new(int take_fd, const CvdQmpHandlers *handlers, gpointer user_data)
{
    CvdQmp *qmp = g_new0(CvdQmp, 1);

    qmp->fd = take_fd;
    qmp->handlers = *handlers;
    qmp->user_data = user_data;
    cvd_json_stream_init(&qmp->inbox, CVD_QMP_MAX_MESSAGE);
    cvd_qmp_outbox_init(&qmp->outbox, qmp->fd, on_emptied, qmp);
    qmp->readable = cvd_source_watch_fd(qmp->fd, G_IO_IN, on_readable, qmp);
    return qmp;
}

void cvd_qmp_free(CvdQmp *qmp)
{
    end_stream(qmp, NULL);
    g_queue_clear_full(&qmp->tail, g_free);
    g_free(qmp->greeting);
    cvd_json_stream_clear(&qmp->inbox);
    g_free(qmp);
}
