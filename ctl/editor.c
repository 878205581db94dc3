/* SPDX-License-Identifier: Apache-2.0 */
/* libedit asks for each key, and has the line drawn again when something else was drawn over it. */
#include "ctl/editor.h"

#include "base/raw-terminal.h"
#include "base/tool.h"

#include <errno.h>
#include <glib-unix.h>
#include <histedit.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

/* Of a terminal that does not say how wide it is. */
#define DEFAULT_COLUMNS 80
#define MAX_REMEMBERED  1000
#define INVALID         ((size_t)-1)
#define INCOMPLETE      ((size_t)-2)

typedef enum {
    EDITOR_IDLE,     /* no line is edited */
    EDITOR_EDITING,  /* the user has the screen */
    EDITOR_GIVEN_UP, /* the line is */
    EDITOR_STOPPED,
} EditorState;

/* Of a line whose end is not known yet. */
typedef enum {
    COMPLETION_NONE,
    COMPLETION_DUE, /* when it is, unless the user types on */
    COMPLETION_NOW,
} Completion;

struct CvdCtlEditor {
    EditorState state;
    CvdCtlEditorHandlers handlers;
    gpointer user_data;
    char *prompt;
    EditLine *lines;
    History *history;
    struct termios before;
    Completion completion;
    guint interrupt; /* ids of sources */
    guint resize;
};

static void set_state(CvdCtlEditor *editor, EditorState state)
{
    if (editor->state != EDITOR_STOPPED)
        editor->state = state;
}

static CvdCtlEditor *get_editor(EditLine *lines)
{
    void *editor = NULL;

    el_get(lines, EL_CLIENTDATA, &editor);
    return editor;
}

/* ---- The screen ---- */

static guint get_columns(const CvdCtlEditor *editor)
{
    int columns = 0;

    return el_get(editor->lines, EL_GETTC, "co", &columns) == 0 && columns > 0 ? (guint)columns
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
static void erase(const CvdCtlEditor *editor)
{
    const LineInfoW *line = el_wline(editor->lines);
    guint width = (guint)strlen(editor->prompt) +
                  get_width(line->buffer, (gsize)(line->cursor - line->buffer));
    g_autoptr(GString) out = g_string_new("\r");
    char *up = NULL, *clear = NULL;

    el_get(editor->lines, EL_GETTC, "up", &up);
    el_get(editor->lines, EL_GETTC, "cd", &clear);
    for (guint i = 0; up != NULL && i < width / get_columns(editor); i++)
        g_string_append(out, up);
    g_string_append(out, clear != NULL ? clear : "\n");
    cvd_tool_put(out->str, out->len, NULL);
}

gboolean cvd_ctl_editor_show(CvdCtlEditor *editor, const char *text, GError **error)
{
    gboolean is_editing = editor->state == EDITOR_EDITING;

    if (is_editing)
        erase(editor);
    if (!cvd_tool_put(text, strlen(text), error))
        return FALSE;
    if (is_editing)
        el_set(editor->lines, EL_REFRESH);
    return TRUE;
}

/* Also when the program goes on after a stop: the screen is another one then. */
static gboolean on_resize(gpointer data)
{
    CvdCtlEditor *editor = data;
    gboolean is_editing = editor->state == EDITOR_EDITING;

    if (is_editing)
        erase(editor);
    el_resize(editor->lines);
    if (is_editing)
        el_set(editor->lines, EL_REFRESH);
    return G_SOURCE_CONTINUE;
}

/* ---- Completion ---- */

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

static void list_words(CvdCtlEditor *editor, const GPtrArray *words)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint width = 0;

    for (guint i = 0; i < words->len; i++)
        width = MAX(width, (guint)strlen(g_ptr_array_index(words, i)) + 2);
    guint n_columns = MAX(get_columns(editor) / width, 1);
    for (guint i = 0; i < words->len; i++) {
        gboolean is_last = i + 1 == words->len || i % n_columns == n_columns - 1;
        g_string_append_printf(text, "%-*s%s", is_last ? 0 : (int)width,
                               (char *)g_ptr_array_index(words, i), is_last ? "\n" : "");
    }
    cvd_ctl_editor_show(editor, text->str, NULL);
}

static unsigned char insert_or_list(CvdCtlEditor *editor, const GPtrArray *words, gsize n_begun)
{
    g_autofree char *prefix = words->len > 0 ? get_common_prefix(words) : NULL;

    if (prefix == NULL)
        return CC_ERROR;
    if (strlen(prefix) > n_begun)
        return el_insertstr(editor->lines, prefix + n_begun) == 0 ? CC_REFRESH : CC_ERROR;
    list_words(editor, words);
    return CC_NORM;
}

/* What is not known the second time either is not asked for again. */
static unsigned char on_tab(EditLine *lines, int key)
{
    CvdCtlEditor *editor = get_editor(lines);
    gboolean is_second = editor->completion == COMPLETION_NOW;
    const LineInfo *info = el_line(lines);
    g_autofree char *line = g_strndup(info->buffer, (gsize)(info->cursor - info->buffer));
    gsize n_begun;
    g_autoptr(GPtrArray) words = editor->handlers.complete(line, &n_begun, editor->user_data);

    editor->completion = words == NULL && !is_second ? COMPLETION_DUE : COMPLETION_NONE;
    if (words != NULL)
        return insert_or_list(editor, words, n_begun);
    return is_second ? CC_ERROR : CC_NORM;
}

void cvd_ctl_editor_complete(CvdCtlEditor *editor)
{
    if (editor->completion == COMPLETION_DUE)
        editor->completion = COMPLETION_NOW;
}

/* ---- Keys ---- */

static gboolean on_readable(int fd, GIOCondition condition, gpointer is_readable)
{
    *(gboolean *)is_readable = TRUE;
    return G_SOURCE_CONTINUE;
}

/* Returns: whether there is one; if not, the line has ended or is to be completed */
static gboolean wait_for_key(CvdCtlEditor *editor)
{
    g_autoptr(GSource) source = g_unix_fd_source_new(STDIN_FILENO, G_IO_IN);
    gboolean is_readable = FALSE;

    g_source_set_callback(source, G_SOURCE_FUNC(on_readable), &is_readable, NULL);
    g_source_attach(source, NULL);
    while (editor->state == EDITOR_EDITING && !is_readable && editor->completion != COMPLETION_NOW)
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

static int get_key(EditLine *lines, wchar_t *key)
{
    CvdCtlEditor *editor = get_editor(lines);

    if (wait_for_key(editor)) {
        editor->completion = COMPLETION_NONE;
        return read_character(key);
    }
    *key = '\t';
    return editor->state == EDITOR_EDITING;
}

static gboolean on_interrupt(gpointer data)
{
    CvdCtlEditor *editor = data;

    if (editor->state == EDITOR_EDITING)
        set_state(editor, EDITOR_GIVEN_UP);
    else
        editor->handlers.interrupted(editor->user_data);
    return G_SOURCE_CONTINUE;
}

/* ---- Lines ---- */

static void hold_terminal(CvdCtlEditor *editor)
{
    el_set(editor->lines, EL_PREP_TERM, 1);
    cvd_raw_terminal_adopt(&editor->before);
}

CvdCtlEditorResult cvd_ctl_editor_read(CvdCtlEditor *editor, char **line)
{
    int size;

    *line = NULL;
    set_state(editor, EDITOR_EDITING);
    const char *text = el_gets(editor->lines, &size);
    hold_terminal(editor); /* which libedit has let go */
    gboolean is_given_up = editor->state == EDITOR_GIVEN_UP;
    set_state(editor, EDITOR_IDLE);
    if (is_given_up) {
        cvd_tool_put("^C\n", 3, NULL);
        return CVD_CTL_EDITOR_GIVEN_UP;
    }
    if (editor->state == EDITOR_STOPPED || text == NULL || size <= 0) {
        cvd_tool_put("\n", 1, NULL);
        return CVD_CTL_EDITOR_ENDED;
    }
    *line = g_strndup(text, (gsize)size);
    (*line)[strcspn(*line, "\r\n")] = '\0';
    return CVD_CTL_EDITOR_LINE;
}

void cvd_ctl_editor_stop(CvdCtlEditor *editor)
{
    set_state(editor, EDITOR_STOPPED);
}

void cvd_ctl_editor_remember(CvdCtlEditor *editor, const char *line)
{
    HistEvent event;

    history(editor->history, &event, H_ENTER, line);
}

/* ---- Beginning and end ---- */

static char *get_prompt(EditLine *lines)
{
    return get_editor(lines)->prompt;
}

/* The user may have set most, for all programs that use libedit. */
static EditLine *open_lines(CvdCtlEditor *editor)
{
    EditLine *lines = el_init("cvd-ctl", stdin, stdout, stderr);

    el_set(lines, EL_CLIENTDATA, editor);
    el_set(lines, EL_PROMPT, get_prompt);
    el_set(lines, EL_EDITOR, "emacs");
    el_set(lines, EL_HIST, history, editor->history);
    el_wset(lines, EL_ADDFN, L"cvd-complete", L"Completes the line", on_tab);
    el_set(lines, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(lines, NULL);
    el_set(lines, EL_BIND, "^I", "cvd-complete", NULL);
    el_set(lines, EL_GETCFN, get_key);
    return lines;
}

CvdCtlEditor *cvd_ctl_editor_new(const char *prompt, const CvdCtlEditorHandlers *handlers,
                                 gpointer user_data)
{
    static const int ends[] = {SIGHUP, SIGQUIT, SIGTERM};
    CvdCtlEditor *editor = g_new0(CvdCtlEditor, 1);
    HistEvent event;

    editor->handlers = *handlers;
    editor->user_data = user_data;
    editor->prompt = g_strdup(prompt);
    tcgetattr(STDIN_FILENO, &editor->before);
    editor->history = history_init();
    history(editor->history, &event, H_SETSIZE, MAX_REMEMBERED);
    history(editor->history, &event, H_SETUNIQUE, 1);
    editor->lines = open_lines(editor);
    cvd_raw_terminal_catch_ends(ends, G_N_ELEMENTS(ends), NULL);
    editor->interrupt = g_unix_signal_add(SIGINT, on_interrupt, editor);
    editor->resize = g_unix_signal_add(SIGWINCH, on_resize, editor);
    hold_terminal(editor);
    return editor;
}

void cvd_ctl_editor_free(CvdCtlEditor *editor)
{
    g_source_remove(editor->interrupt);
    g_source_remove(editor->resize);
    el_end(editor->lines);
    cvd_raw_terminal_leave();
    history_end(editor->history);
    g_free(editor->prompt);
    g_free(editor);
}
