/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line is edited by libedit, which reads it key by key. While it waits for a key, and while a
 * command waits for its answer, the main loop runs: what happens in the VM is printed above the
 * line.
 */
#include "ctl/qmp.h"

#include "base/json-text.h"
#include "base/raw-terminal.h"

#include <errno.h>
#include <glib-unix.h>
#include <histedit.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

/* Of a terminal that does not say how wide it is. */
#define DEFAULT_COLUMNS 80
#define INVALID         ((size_t)-1)
#define INCOMPLETE      ((size_t)-2)

typedef enum {
    PROMPT_EDITING,     /* the user has the terminal */
    PROMPT_INTERRUPTED, /* the line is given up */
    PROMPT_WAITING,     /* for QEMU's answer */
    PROMPT_OVER,        /* `error` says why */
} PromptState;

/* Of a line that is to be completed with names that QEMU has not said yet. */
typedef enum {
    COMPLETION_NONE,
    COMPLETION_DUE, /* when it has answered, unless the user goes on typing */
    COMPLETION_NOW, /* it has */
} Completion;

typedef struct {
    CvdTool *tool;
    CvdDBusInstance1 *instance;
    PromptState state;
    GError *error;
    char *text; /* in front of the line */
    EditLine *editor;
    History *history;
    char *history_path; /* NULL: it could not be written */
    struct termios before;
    CvdCtlQmpNames *names;
    gboolean is_asked_for_names;
    Completion completion;
    GCancellable *cancellable; /* of the command that is waited for */
    gboolean is_answered;
    gboolean has_failed; /* the last command */
} Prompt;

static void set_state(Prompt *prompt, PromptState state)
{
    if (prompt->state != PROMPT_OVER)
        prompt->state = state;
}

static void end(Prompt *prompt, GError *take_error)
{
    if (prompt->error == NULL)
        prompt->error = take_error;
    else
        g_error_free(take_error);
    set_state(prompt, PROMPT_OVER);
    if (prompt->cancellable != NULL)
        g_cancellable_cancel(prompt->cancellable);
}

/* ---- The screen ---- */

static guint get_columns(const Prompt *prompt)
{
    int columns = 0;

    return el_get(prompt->editor, EL_GETTC, "co", &columns) == 0 && columns > 0 ? (guint)columns
                                                                                : DEFAULT_COLUMNS;
}

/* In columns; what is not printable is shown as two characters. */
static guint get_width(const wchar_t *text, gsize n)
{
    guint width = 0;

    for (gsize i = 0; i < n; i++) {
        int columns = wcwidth(text[i]);
        width += columns >= 0 ? (guint)columns : 2;
    }
    return width;
}

/* Removes the line from the screen; the cursor is where it began. */
static void erase_line(const Prompt *prompt)
{
    const LineInfoW *line = el_wline(prompt->editor);
    guint width =
        (guint)strlen(prompt->text) + get_width(line->buffer, (gsize)(line->cursor - line->buffer));
    g_autoptr(GString) out = g_string_new("\r");
    char *up = NULL, *clear = NULL;

    el_get(prompt->editor, EL_GETTC, "up", &up);
    el_get(prompt->editor, EL_GETTC, "cd", &clear);
    for (guint i = 0; up != NULL && i < width / get_columns(prompt); i++)
        g_string_append(out, up);
    g_string_append(out, clear != NULL ? clear : "\n");
    cvd_tool_put(out->str, out->len, NULL);
}

/* Whole lines, above the one that is edited. */
static void show(Prompt *prompt, const char *text)
{
    g_autoptr(GError) error = NULL;
    gboolean is_editing = prompt->state == PROMPT_EDITING;

    if (is_editing)
        erase_line(prompt);
    if (!cvd_tool_put(text, strlen(text), &error))
        end(prompt, g_steal_pointer(&error));
    else if (is_editing)
        el_set(prompt->editor, EL_REFRESH);
}

static void show_error(Prompt *prompt, GError *error)
{
    cvd_ctl_clarify(error);
    g_autofree char *text = g_strdup_printf("error: %s\n", error->message);
    show(prompt, text);
}

/* ---- What happens in between ---- */

static void on_state(CvdDBusInstance1 *instance, const char *state, const char *reason,
                     gpointer data)
{
    const Prompt *prompt = data;
    g_autofree char *event = cvd_ctl_format_event(prompt->tool->json, "state", state, reason);
    g_autofree char *line = g_strconcat(event, "\n", NULL);

    show(data, line);
}

static void on_guest_event(CvdDBusInstance1 *instance, const char *name, const char *details,
                           gpointer data)
{
    const Prompt *prompt = data;
    g_autofree char *event = cvd_ctl_format_event(prompt->tool->json, "guest", name, details);
    g_autofree char *line = g_strconcat(event, "\n", NULL);

    show(data, line);
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

    end(data, g_error_new(G_IO_ERROR, G_IO_ERROR_CLOSED, "the instance has ended%s%s",
                          has_reason ? ": " : "", has_reason ? reason : ""));
}

static gboolean on_interrupt(gpointer data)
{
    Prompt *prompt = data;

    if (prompt->state == PROMPT_WAITING)
        g_cancellable_cancel(prompt->cancellable);
    else
        set_state(prompt, PROMPT_INTERRUPTED);
    return G_SOURCE_CONTINUE;
}

/* Also when it goes on after a stop: the screen is another one then. */
static gboolean on_resize(gpointer data)
{
    Prompt *prompt = data;
    gboolean is_editing = prompt->state == PROMPT_EDITING;

    if (is_editing)
        erase_line(prompt);
    el_resize(prompt->editor);
    if (is_editing)
        el_set(prompt->editor, EL_REFRESH);
    return G_SOURCE_CONTINUE;
}

/* ---- Names ---- */

static char *finish_names(GObject *instance, GAsyncResult *result, gsize *size)
{
    g_autoptr(GUnixFDList) fds = NULL;

    return cvd_dbus_instance1_call_qmp_finish(CVD_DBUS_INSTANCE1(instance), NULL, &fds, result,
                                              NULL)
               ? cvd_ctl_qmp_read_reply(fds, size, NULL)
               : NULL;
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
}

/* The schema first: who has the names of commands has all. */
static void ask_for_names(Prompt *prompt)
{
    if (prompt->is_asked_for_names || cvd_ctl_qmp_names_are_known(prompt->names))
        return;
    prompt->is_asked_for_names = TRUE;
    cvd_dbus_instance1_call_qmp(prompt->instance, "{\"execute\":\"query-qmp-schema\"}", NULL,
                                prompt->tool->cancellable, on_schema, prompt);
    cvd_dbus_instance1_call_qmp(prompt->instance, "{\"execute\":\"query-commands\"}", NULL,
                                prompt->tool->cancellable, on_commands, prompt);
}

/* ---- Keys ---- */

/* Returns: (transfer full): what all of @words begin with */
static char *get_common_prefix(const GPtrArray *words)
{
    char *prefix = g_strdup(g_ptr_array_index(words, 0));

    for (guint i = 1; i < words->len; i++) {
        const char *word = g_ptr_array_index(words, i);
        gsize n = 0;
        while (prefix[n] != '\0' && prefix[n] == word[n])
            n++;
        prefix[n] = '\0';
    }
    return prefix;
}

static void list_words(Prompt *prompt, const GPtrArray *words)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint width = 0;

    for (guint i = 0; i < words->len; i++)
        width = MAX(width, (guint)strlen(g_ptr_array_index(words, i)) + 2);
    guint n_columns = MAX(get_columns(prompt) / width, 1);
    for (guint i = 0; i < words->len; i++) {
        gboolean is_last = i + 1 == words->len || i % n_columns == n_columns - 1;
        g_string_append_printf(text, "%-*s%s", is_last ? 0 : (int)width,
                               (char *)g_ptr_array_index(words, i), is_last ? "\n" : "");
    }
    show(prompt, text->str);
}

static Prompt *get_prompt(EditLine *editor)
{
    void *prompt = NULL;

    el_get(editor, EL_CLIENTDATA, &prompt);
    return prompt;
}

static unsigned char complete(EditLine *editor, int key)
{
    Prompt *prompt = get_prompt(editor);
    const LineInfo *info = el_line(editor);
    g_autofree char *line = g_strndup(info->buffer, (gsize)(info->cursor - info->buffer));
    gsize n_begun;

    if (prompt->completion != COMPLETION_NOW && !cvd_ctl_qmp_names_are_known(prompt->names)) {
        ask_for_names(prompt);
        prompt->completion = COMPLETION_DUE;
        return CC_NORM;
    }
    g_autoptr(GPtrArray) words = cvd_ctl_qmp_complete(prompt->names, line, &n_begun);
    if (words->len == 0)
        return CC_ERROR;
    g_autofree char *prefix = get_common_prefix(words);
    if (strlen(prefix) == n_begun) {
        list_words(prompt, words);
        return CC_NORM;
    }
    return el_insertstr(editor, prefix + n_begun) == 0 ? CC_REFRESH : CC_ERROR;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer is_readable)
{
    *(gboolean *)is_readable = TRUE;
    return G_SOURCE_CONTINUE;
}

/* Returns: whether there is a key, or the line has ended */
static gboolean wait_for_key(Prompt *prompt)
{
    g_autoptr(GSource) source = g_unix_fd_source_new(STDIN_FILENO, G_IO_IN);
    gboolean is_readable = FALSE;

    g_source_set_callback(source, G_SOURCE_FUNC(on_readable), &is_readable, NULL);
    g_source_attach(source, NULL);
    while (prompt->state == PROMPT_EDITING && !is_readable &&
           (prompt->completion != COMPLETION_DUE || prompt->is_asked_for_names))
        g_main_context_iteration(NULL, TRUE);
    g_source_destroy(source);
    return is_readable;
}

/* One byte after the other, as what is behind the line is not ours. Returns: 1; 0 at the end */
static int read_character(wchar_t *character)
{
    mbstate_t state = {0};
    size_t n = INCOMPLETE;

    while (n == INCOMPLETE || n == INVALID) {
        char byte;
        gssize n_read = read(STDIN_FILENO, &byte, 1);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read <= 0)
            return 0;
        n = mbrtowc(character, &byte, 1, &state);
        if (n == INVALID)
            state = (mbstate_t){0};
    }
    return 1;
}

static int get_key(EditLine *editor, wchar_t *key)
{
    Prompt *prompt = get_prompt(editor);

    if (wait_for_key(prompt)) {
        prompt->completion = COMPLETION_NONE;
        return read_character(key);
    }
    prompt->completion = COMPLETION_NOW;
    *key = '\t';
    return prompt->state == PROMPT_EDITING;
}

/* ---- Commands ---- */

static void on_reply(GObject *instance, GAsyncResult *result, gpointer data)
{
    Prompt *prompt = data;
    g_autoptr(GUnixFDList) fds = NULL;
    GError *failure = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;
    g_autofree char *reply = NULL;

    prompt->is_answered = TRUE;
    prompt->has_failed = TRUE;
    if (cvd_dbus_instance1_call_qmp_finish(CVD_DBUS_INSTANCE1(instance), NULL, &fds, result,
                                           &failure))
        reply = cvd_ctl_qmp_read_reply(fds, &size, &error);
    else
        cvd_ctl_qmp_take_error(failure, &error);
    if (reply != NULL) {
        prompt->has_failed = FALSE;
        g_autofree char *text = cvd_json_text_format(reply, size, !prompt->tool->json);
        g_autofree char *lines = g_strconcat(text, "\n", NULL);
        show(prompt, lines);
    } else if (cvd_tool_is_cancelled(error) && prompt->state != PROMPT_OVER) {
        show(prompt, "\nnot waited for any longer; QEMU carries it out all the same\n");
    } else if (!g_dbus_connection_is_closed(cvd_ctl_get_connection(prompt->instance))) {
        show_error(prompt, error);
    }
}

static void execute(Prompt *prompt, const char *command)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    prompt->cancellable = cancellable;
    prompt->is_answered = FALSE;
    set_state(prompt, PROMPT_WAITING);
    cvd_dbus_instance1_call_qmp(prompt->instance, command, NULL, cancellable, on_reply, prompt);
    while (!prompt->is_answered)
        g_main_context_iteration(NULL, TRUE);
    prompt->cancellable = NULL;
}

static void suggest(Prompt *prompt, const char *command)
{
    const char *nearest = cvd_ctl_qmp_names_nearest(prompt->names, command);
    g_autofree char *text =
        nearest != NULL ? g_strdup_printf("did you mean '%s'?\n", nearest) : NULL;

    if (text != NULL)
        show(prompt, text);
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
    if (prompt->has_failed)
        suggest(prompt, words[0]);
}

/* ---- Lines ---- */

static void keep(Prompt *prompt, const char *line)
{
    g_autoptr(GError) error = NULL;
    HistEvent event;

    if (!cvd_ctl_qmp_history_may_keep(line))
        return;
    history(prompt->history, &event, H_ENTER, line);
    if (prompt->history_path == NULL ||
        cvd_ctl_qmp_history_append(prompt->history_path, line, &error))
        return;
    g_clear_pointer(&prompt->history_path, g_free);
    g_autofree char *text = g_strdup_printf("the history is not kept: %s\n", error->message);
    show(prompt, text);
}

/* Also while no line is edited: what is typed meanwhile is for the next one, ctrl-d too. */
static void hold_terminal(Prompt *prompt)
{
    el_set(prompt->editor, EL_PREP_TERM, 1);
    cvd_raw_terminal_adopt(&prompt->before);
}

/* Returns: whether there may be another line */
static gboolean run_next(Prompt *prompt)
{
    int size;

    set_state(prompt, PROMPT_EDITING);
    const char *text = el_gets(prompt->editor, &size);
    hold_terminal(prompt);
    gboolean is_interrupted = prompt->state == PROMPT_INTERRUPTED;
    set_state(prompt, PROMPT_WAITING);
    if (is_interrupted) {
        show(prompt, "^C\n");
        return TRUE;
    }
    if (prompt->state == PROMPT_OVER || text == NULL || size <= 0) {
        show(prompt, "\n");
        return FALSE;
    }
    g_autofree char *line = g_strndup(text, (gsize)size);
    line[strcspn(line, "\r\n")] = '\0';
    keep(prompt, line);
    run_line(prompt, line);
    return prompt->state != PROMPT_OVER;
}

/* ---- Beginning and end ---- */

static char *get_text(EditLine *editor)
{
    return get_prompt(editor)->text;
}

static void load_history(Prompt *prompt)
{
    HistEvent event;

    prompt->history_path = cvd_ctl_qmp_history_get_path();
    prompt->history = history_init();
    history(prompt->history, &event, H_SETSIZE, CVD_CTL_QMP_MAX_HISTORY);
    history(prompt->history, &event, H_SETUNIQUE, 1);
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(prompt->history_path);
    for (char **line = lines; *line != NULL; line++)
        history(prompt->history, &event, H_ENTER, *line);
}

/* What the user has set for all programs that use libedit counts, too: editrc(5). */
static void open_editor(Prompt *prompt)
{
    EditLine *editor = el_init("cvd-ctl", stdin, stdout, stderr);

    prompt->editor = editor;
    el_set(editor, EL_CLIENTDATA, prompt);
    el_set(editor, EL_PROMPT, get_text);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_HIST, history, prompt->history);
    el_wset(editor, EL_ADDFN, L"cvd-complete", L"Completes a command", complete);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(editor, NULL);
    el_set(editor, EL_BIND, "^I", "cvd-complete", NULL);
    el_set(editor, EL_GETCFN, get_key);
}

/* The rest of them end or stop this with the terminal as it was. */
static void watch(Prompt *prompt)
{
    static const int ends[] = {SIGHUP, SIGQUIT, SIGTERM};
    GDBusConnection *connection = cvd_ctl_get_connection(prompt->instance);

    cvd_raw_terminal_catch_ends(ends, G_N_ELEMENTS(ends), NULL);
    g_unix_signal_add(SIGINT, on_interrupt, prompt);
    g_unix_signal_add(SIGWINCH, on_resize, prompt);
    g_signal_connect(prompt->instance, "state-changed", G_CALLBACK(on_state), prompt);
    g_signal_connect(prompt->instance, "guest-event", G_CALLBACK(on_guest_event), prompt);
    g_signal_connect(prompt->instance, "closing", G_CALLBACK(on_closing), prompt);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), prompt);
    if (g_dbus_connection_is_closed(connection))
        on_closed(connection, TRUE, NULL, prompt);
}

static void close_prompt(Prompt *prompt)
{
    g_signal_handlers_disconnect_by_data(prompt->instance, prompt);
    g_signal_handlers_disconnect_by_data(cvd_ctl_get_connection(prompt->instance), prompt);
    el_end(prompt->editor);
    cvd_raw_terminal_leave();
    history_end(prompt->history);
    g_free(prompt->history_path);
    g_free(prompt->text);
}

gboolean cvd_ctl_qmp_prompt(CvdTool *tool, CvdDBusInstance1 *instance, GError **error)
{
    g_autoptr(CvdCtlQmpNames) names = cvd_ctl_qmp_names_new();
    g_autofree char *name = cvd_ctl_printable(cvd_dbus_instance1_get_name(instance));
    Prompt prompt = {.tool = tool, .instance = instance, .names = names, .state = PROMPT_WAITING};

    prompt.text = g_strdup_printf("(%s) ", name);
    tcgetattr(STDIN_FILENO, &prompt.before);
    load_history(&prompt);
    open_editor(&prompt);
    watch(&prompt);
    hold_terminal(&prompt);
    ask_for_names(&prompt);
    show(&prompt, "QMP: tab completes, ctrl-d leaves; the command quit ends the VM\n");
    while (prompt.state != PROMPT_OVER && run_next(&prompt))
        ;
    close_prompt(&prompt);
    if (prompt.error == NULL)
        return TRUE;
    g_propagate_error(error, prompt.error);
    return FALSE;
}
