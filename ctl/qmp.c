/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/qmp.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json-text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Of a reply of QEMU's, as docs/cvd-ctl.1 has it, and what its `id` adds. */
#define MAX_REPLY (66 * 1024 * 1024)

/* ---- One command ---- */

char *cvd_ctl_qmp_read_reply(GUnixFDList *fds, gsize *size, GError **error)
{
    cvd_autofd fd = cvd_ctl_get_fd(fds, 0, error);
    char *reply = fd >= 0 ? cvd_ctl_read(fd, MAX_REPLY, size, error) : NULL;

    if (reply == NULL)
        g_prefix_error(error, "QEMU's reply: ");
    return reply;
}

void cvd_ctl_qmp_take_error(GError *take_error, GError **error)
{
    if (g_error_matches(take_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "QEMU has not answered, and the time of --timeout is over");
        g_error_free(take_error);
    } else {
        g_propagate_error(error, take_error);
    }
}

/* Returns: (transfer full) (nullable): the reply */
static char *call(CvdTool *tool, CvdDBusInstance1 *instance, const char *command, gsize *size,
                  GError **error)
{
    g_autoptr(GUnixFDList) fds = NULL;
    GError *local_error = NULL;

    if (cvd_dbus_instance1_call_qmp_sync(instance, command, NULL, NULL, &fds, tool->cancellable,
                                         &local_error))
        return cvd_ctl_qmp_read_reply(fds, size, error);
    cvd_ctl_qmp_take_error(local_error, error);
    return NULL;
}

static gboolean call_and_print(CvdTool *tool, CvdDBusInstance1 *instance, const char *command,
                               GError **error)
{
    gsize size;
    g_autofree char *reply = call(tool, instance, command, &size, error);

    if (reply == NULL)
        return FALSE;
    g_autofree char *text = cvd_json_text_format(reply, size, !tool->json);
    return cvd_tool_put(text, strlen(text), error) && cvd_tool_put("\n", 1, error);
}

/* ---- A list of commands ---- */

/* One that is longer than any that the launcher takes is none. */
#define MAX_LINE  (2 * 1024 * 1024)
#define READ_SIZE 65536

typedef struct {
    CvdTool *tool;
    CvdDBusInstance1 *instance;
    GByteArray *input; /* what has not been carried out yet */
    guint n_lines;     /* that have */
} Script;

/* Returns: whether to go on */
static gboolean run_line(Script *script, const char *line, GError **error)
{
    g_autoptr(GError) reason = NULL;

    script->n_lines++;
    if (cvd_ctl_qmp_is_empty(line))
        return TRUE;
    g_auto(GStrv) words = cvd_ctl_qmp_split(line, &reason);
    g_autofree char *command = words != NULL ? cvd_ctl_qmp_compose(words, &reason) : NULL;
    if (command != NULL && call_and_print(script->tool, script->instance, command, &reason))
        return TRUE;
    gboolean is_about_line = !g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE) &&
                             !cvd_tool_is_cancelled(reason);
    if (is_about_line)
        cvd_ctl_clarify(reason);
    g_propagate_error(error, g_steal_pointer(&reason));
    if (is_about_line)
        g_prefix_error(error, "line %u: ", script->n_lines);
    return FALSE;
}

static gboolean run_lines(Script *script, GError **error)
{
    GByteArray *input = script->input;
    const guint8 *end;

    while (input->len > 0 && (end = memchr(input->data, '\n', input->len)) != NULL) {
        gsize size = (gsize)(end - input->data);
        g_autofree char *line = g_strndup((const char *)input->data, size);
        g_byte_array_remove_range(input, 0, (guint)size + 1);
        if (!run_line(script, line, error))
            return FALSE;
    }
    return input->len <= MAX_LINE ||
           cvd_tool_fail_usage(error, "line %u: it has more than %d bytes", script->n_lines + 1,
                               MAX_LINE);
}

/* Returns: whether there is more, or may be */
static gboolean read_input(Script *script, GError **error)
{
    GPollFD input = {.fd = STDIN_FILENO, .events = G_IO_IN};
    guint8 bytes[READ_SIZE];

    if (!cvd_tool_poll(script->tool, &input, 1, -1, 0, error))
        return FALSE;
    gssize n = input.revents != 0 ? read(STDIN_FILENO, bytes, sizeof bytes) : -1;
    if (n < 0 && (input.revents == 0 || errno == EINTR || errno == EAGAIN))
        return TRUE;
    if (n < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read from stdin");
    else
        g_byte_array_append(script->input, bytes, (guint)n);
    return n > 0;
}

/* What follows an error may rely on what has failed. The last line may have no end. */
static gboolean run_script(CvdTool *tool, CvdDBusInstance1 *instance, GError **error)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autoptr(GError) reason = NULL;
    Script script = {.tool = tool, .instance = instance, .input = input};

    while (read_input(&script, &reason))
        if (!run_lines(&script, error))
            return FALSE;
    if (reason != NULL) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    g_autofree char *last = g_strndup((const char *)input->data, input->len);
    return last == NULL || run_line(&script, last, error);
}

/* ---- All of them ---- */

static CvdDBusInstance1 *connect_with_limit(CvdTool *tool, GError **error)
{
    guint timeout_ms = G_MAXINT; /* which means none */

    if (cvd_ctl_options.timeout != NULL &&
        !cvd_tool_parse_seconds(cvd_ctl_options.timeout, "--timeout", CVD_CTL_MAX_TIMEOUT_S,
                                &timeout_ms, error))
        return NULL;
    CvdDBusInstance1 *instance = cvd_ctl_connect(tool, error);
    if (instance != NULL)
        g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(instance), (gint)timeout_ms);
    return instance;
}

static gboolean serve(CvdTool *tool, char **arguments, GError **error)
{
    if (arguments[0] != NULL)
        return cvd_tool_fail_usage(error, "--socket is for other programs' commands; give none");
    if (cvd_ctl_options.timeout != NULL)
        return cvd_tool_fail_usage(error, "--timeout is of a command, and --socket takes none");
    return cvd_ctl_qmp_serve(tool, cvd_ctl_options.socket, error);
}

gboolean cvd_ctl_qmp(CvdTool *tool, char **arguments, GError **error)
{
    gboolean is_one = arguments[0] != NULL;
    gboolean is_prompt = !is_one && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

    if (cvd_ctl_options.socket != NULL || !is_prompt)
        cvd_tool_catch_signals(tool);
    if (cvd_ctl_options.socket != NULL)
        return serve(tool, arguments, error);
    g_autofree char *command = is_one ? cvd_ctl_qmp_compose(arguments, error) : NULL;
    g_autoptr(CvdDBusInstance1) instance =
        !is_one || command != NULL ? connect_with_limit(tool, error) : NULL;
    if (instance == NULL)
        return FALSE;
    if (is_one)
        return call_and_print(tool, instance, command, error);
    return is_prompt ? cvd_ctl_qmp_prompt(tool, instance, error)
                     : run_script(tool, instance, error);
}
