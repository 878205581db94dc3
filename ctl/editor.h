/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdCtlEditor:
 *
 * Lines that the user edits, by libedit, on the terminal that stdin and stdout are. The default
 * #GMainContext runs while it waits for a key. From the beginning to the end the terminal does not
 * echo, and what is typed while no line is edited belongs to the next one; however this ends, the
 * terminal is restored. There is one of them in a program.
 */
typedef struct CvdCtlEditor CvdCtlEditor;

/**
 * CvdCtlEditorHandlers:
 * @complete: what may stand at the end of @line, sorted; @n_begun: (out): how many bytes of it are
 *   there already. %NULL: it is not known yet, see cvd_ctl_editor_complete()
 * @interrupted: ctrl-c, while no line is edited
 */
typedef struct {
    GPtrArray *(*complete)(const char *line, gsize *n_begun, gpointer user_data);
    void (*interrupted)(gpointer user_data);
} CvdCtlEditorHandlers;

/**
 * cvd_ctl_editor_new:
 * @prompt: what stands before each line, ASCII
 *
 * Reads the user's editrc(5), and sees to the signals that a terminal raises, and those that end
 * the program.
 */
CvdCtlEditor *cvd_ctl_editor_new(const char *prompt, const CvdCtlEditorHandlers *handlers,
                                 gpointer user_data);
void cvd_ctl_editor_free(CvdCtlEditor *editor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdCtlEditor, cvd_ctl_editor_free)

/** cvd_ctl_editor_remember: adds a line to what the user can go back to */
void cvd_ctl_editor_remember(CvdCtlEditor *editor, const char *line);

typedef enum {
    CVD_CTL_EDITOR_LINE,
    CVD_CTL_EDITOR_GIVEN_UP, /* by ctrl-c; there may be another */
    CVD_CTL_EDITOR_ENDED,    /* by ctrl-d, or cvd_ctl_editor_stop() */
} CvdCtlEditorResult;

/**
 * cvd_ctl_editor_read:
 * @line: (out) (transfer full): what was typed, without the end of the line
 */
CvdCtlEditorResult cvd_ctl_editor_read(CvdCtlEditor *editor, char **line);

/** cvd_ctl_editor_stop: ends the line that is edited, and there is no other */
void cvd_ctl_editor_stop(CvdCtlEditor *editor);

/** cvd_ctl_editor_complete: asks once more for what was not known, if the user has not typed on */
void cvd_ctl_editor_complete(CvdCtlEditor *editor);

/**
 * cvd_ctl_editor_show:
 * @text: whole lines, fit for a terminal
 * @error: as cvd_tool_put()
 *
 * Puts them above the line that is edited, if any is.
 */
gboolean cvd_ctl_editor_show(CvdCtlEditor *editor, const char *text, GError **error);

G_END_DECLS
