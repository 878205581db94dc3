/* SPDX-License-Identifier: Apache-2.0 */
/* While a line is edited, and while a command waits for its answer, the main loop runs, and what
 * happens in the VM is printed. */
#include "ctl/editor.h"
#include "ctl/qmp.h"

#include "base/error.h"
#include "base/json-text.h"

#include <string.h>

typedef struct {
    CvdTool *tool;
    CvdDBusInstance1 *instance;
    CvdCtlEditor *editor;
    GError *error;      /* why it is over; NULL: it is not */
    char *history_path; /* NULL: it could not be written */
    CvdCtlQmpNames *names;
    gboolean is_asked_for_names;
    GCancellable *cancellable; /* of the command that is waited for; NULL: none is */
    gboolean is_answered;
    gboolean has_failed; /* the last command */
} Prompt;

static void end(Prompt *prompt, GError *take_error)
{
    if (prompt->error == NULL)
        prompt->error = take_error;
    else
        g_error_free(take_error);
    cvd_ctl_editor_stop(prompt->editor);
    g_cancellable_cancel(prompt->cancellable);
}

/* @format: a line */
static void show(Prompt *prompt, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void show(Prompt *prompt, const char *format, ...)
{
    va_list arguments;
    GError *error = NULL;

    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *text = g_strconcat(line, "\n", NULL);
    if (!cvd_ctl_editor_show(prompt->editor, text, &error))
        end(prompt, error);
}

static void show_error(Prompt *prompt, GError *error)
{
    cvd_ctl_clarify(error);
    show(prompt, "error: %s", error->message);
}

/* ---- What happens in between ---- */

static void on_state(CvdDBusInstance1 *instance, const char *state, const char *reason,
                     gpointer data)
{
    Prompt *prompt = data;
    g_autofree char *event = cvd_ctl_format_event(prompt->tool->json, "state", state, reason);

    show(prompt, "%s", event);
}

static void on_guest_event(CvdDBusInstance1 *instance, const char *name, const char *details,
                           gpointer data)
{
    Prompt *prompt = data;
    g_autofree char *event = cvd_ctl_format_event(prompt->tool->json, "guest", name, details);

    show(prompt, "%s", event);
}

static void on_closing(CvdDBusInstance1 *instance, const char *reason, gpointer data)
{
    end(data,
        g_error_new(G_IO_ERROR, G_IO_ERROR_BUSY, "cvd-launch closes the connection: %s", reason));
}

static void on_closed(GDBusConnection *connection, gboolean is_remote, GError *error, gpointer data)
{
    const Prompt *prompt = data;
    const char *reason = cvd_dbus_instance1_get_reason(prompt->instance);
    gboolean has_reason = reason != NULL && *reason != '\0';

    end(data, g_error_new(CVD_ERROR, CVD_ERROR_FAILED, "the instance has ended%s%s",
                          has_reason ? ": " : "", has_reason ? reason : ""));
}

static void on_interrupted(gpointer data)
{
    g_cancellable_cancel(((Prompt *)data)->cancellable);
}

/* ---- Names ---- */

static char *finish_names(GObject *instance, GAsyncResult *result, gsize *size)
{
    g_autoptr(GUnixFDList) fds = NULL;

    if (!cvd_dbus_instance1_call_qmp_finish(CVD_DBUS_INSTANCE1(instance), NULL, &fds, result, NULL))
        return NULL;
    return cvd_ctl_qmp_read_reply(fds, size, NULL);
}

static void on_schema(GObject *instance, GAsyncResult *result, gpointer data)
{
    gsize size;
    g_autofree char *reply = finish_names(instance, result, &size);

    if (reply != NULL)
        cvd_ctl_qmp_names_set_schema(((Prompt *)data)->names, reply, size);
}

static void on_commands(GObject *instance, GAsyncResult *result, gpointer data)
{
    Prompt *prompt = data;
    gsize size;
    g_autofree char *reply = finish_names(instance, result, &size);

    prompt->is_asked_for_names = FALSE;
    if (reply != NULL)
        cvd_ctl_qmp_names_set_commands(prompt->names, reply, size);
    cvd_ctl_editor_complete(prompt->editor);
}

/* The schema first: who has the names of commands has all. */
static void ask_for_names(Prompt *prompt)
{
    if (prompt->is_asked_for_names)
        return;
    prompt->is_asked_for_names = TRUE;
    cvd_dbus_instance1_call_qmp(prompt->instance, "{\"execute\":\"query-qmp-schema\"}", NULL,
                                prompt->tool->cancellable, on_schema, prompt);
    cvd_dbus_instance1_call_qmp(prompt->instance, "{\"execute\":\"query-commands\"}", NULL,
                                prompt->tool->cancellable, on_commands, prompt);
}

static GPtrArray *complete(const char *line, gsize *n_begun, gpointer data)
{
    Prompt *prompt = data;

    if (cvd_ctl_qmp_names_are_known(prompt->names))
        return cvd_ctl_qmp_complete(prompt->names, line, n_begun);
    ask_for_names(prompt);
    return NULL;
}

/* ---- Commands ---- */

static void show_reply(Prompt *prompt, const char *reply, gsize size)
{
    g_autofree char *text = cvd_json_text_format(reply, size, !prompt->tool->json);

    show(prompt, "%s", text);
}

/* Of an end of the instance itself is told elsewhere. */
static void show_failure(Prompt *prompt, GError *error)
{
    if (prompt->error != NULL ||
        g_dbus_connection_is_closed(cvd_ctl_get_connection(prompt->instance)))
        return;
    if (cvd_tool_is_cancelled(error))
        show(prompt, "\nnot waited for any longer; QEMU carries it out all the same");
    else
        show_error(prompt, error);
}

static void on_reply(GObject *instance, GAsyncResult *result, gpointer data)
{
    Prompt *prompt = data;
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GError) error = NULL;
    GError *failure = NULL;
    g_autofree char *reply = NULL;
    gsize size;

    if (cvd_dbus_instance1_call_qmp_finish(CVD_DBUS_INSTANCE1(instance), NULL, &fds, result,
                                           &failure))
        reply = cvd_ctl_qmp_read_reply(fds, &size, &error);
    else
        cvd_ctl_qmp_take_error(failure, &error);
    prompt->is_answered = TRUE;
    prompt->has_failed = reply == NULL;
    if (reply != NULL)
        show_reply(prompt, reply, size);
    else
        show_failure(prompt, error);
}

static void execute(Prompt *prompt, const char *command)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    prompt->cancellable = cancellable;
    prompt->is_answered = FALSE;
    cvd_dbus_instance1_call_qmp(prompt->instance, command, NULL, cancellable, on_reply, prompt);
    while (!prompt->is_answered)
        g_main_context_iteration(NULL, TRUE);
    prompt->cancellable = NULL;
}

static void run_line(Prompt *prompt, const char *line)
{
    g_autoptr(GError) error = NULL;

    if (cvd_ctl_qmp_is_empty(line))
        return;
    g_auto(GStrv) words = cvd_ctl_qmp_split(line, &error);
    g_autofree char *command = words != NULL ? cvd_ctl_qmp_compose(words, &error) : NULL;
    if (command == NULL) {
        show_error(prompt, error);
        return;
    }
    execute(prompt, command);
    const char *nearest =
        prompt->has_failed ? cvd_ctl_qmp_names_nearest(prompt->names, words[0]) : NULL;
    if (nearest != NULL)
        show(prompt, "did you mean '%s'?", nearest);
}

/* ---- Lines ---- */

static void keep(Prompt *prompt, const char *line)
{
    g_autoptr(GError) error = NULL;

    if (!cvd_ctl_qmp_history_may_keep(line))
        return;
    cvd_ctl_editor_remember(prompt->editor, line);
    if (prompt->history_path == NULL ||
        cvd_ctl_qmp_history_append(prompt->history_path, line, &error))
        return;
    g_clear_pointer(&prompt->history_path, g_free);
    show(prompt, "the history is not kept: %s", error->message);
}

/* Until there is no other line. */
static void run_lines(Prompt *prompt)
{
    CvdCtlEditorResult result = CVD_CTL_EDITOR_LINE;

    while (prompt->error == NULL && result != CVD_CTL_EDITOR_ENDED) {
        g_autofree char *line = NULL;
        result = cvd_ctl_editor_read(prompt->editor, &line);
        if (result != CVD_CTL_EDITOR_LINE)
            continue;
        keep(prompt, line);
        run_line(prompt, line);
    }
}

static void load_history(Prompt *prompt)
{
    prompt->history_path = cvd_ctl_qmp_history_get_path();
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(prompt->history_path);
    for (char **line = lines; *line != NULL; line++)
        cvd_ctl_editor_remember(prompt->editor, *line);
}

static void watch(Prompt *prompt)
{
    GDBusConnection *connection = cvd_ctl_get_connection(prompt->instance);

    g_signal_connect(prompt->instance, "state-changed", G_CALLBACK(on_state), prompt);
    g_signal_connect(prompt->instance, "guest-event", G_CALLBACK(on_guest_event), prompt);
    g_signal_connect(prompt->instance, "closing", G_CALLBACK(on_closing), prompt);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), prompt);
    if (g_dbus_connection_is_closed(connection))
        on_closed(connection, TRUE, NULL, prompt);
}

gboolean cvd_ctl_qmp_prompt(CvdTool *tool, CvdDBusInstance1 *instance, GError **error)
{
    static const CvdCtlEditorHandlers handlers = {complete, on_interrupted};
    g_autofree char *name = cvd_ctl_printable(cvd_dbus_instance1_get_name(instance));
    g_autofree char *text = g_strdup_printf("(%s) ", name);
    g_autoptr(CvdCtlQmpNames) names = cvd_ctl_qmp_names_new();
    Prompt prompt = {.tool = tool, .instance = instance, .names = names};

    prompt.editor = cvd_ctl_editor_new(text, &handlers, &prompt);
    load_history(&prompt);
    watch(&prompt);
    ask_for_names(&prompt);
    show(&prompt, "QMP: tab completes, ctrl-d leaves; the command quit ends the VM");
    run_lines(&prompt);
    g_signal_handlers_disconnect_by_data(instance, &prompt);
    g_signal_handlers_disconnect_by_data(cvd_ctl_get_connection(instance), &prompt);
    cvd_ctl_editor_free(prompt.editor);
    g_free(prompt.history_path);
    if (prompt.error == NULL)
        return TRUE;
    g_propagate_error(error, prompt.error);
    return FALSE;
}
