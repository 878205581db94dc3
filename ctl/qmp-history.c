/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines typed at a prompt, one a line of a file. Each is appended when it was typed, so that
 * several prompts can be open; what has become too long is cut by the next that reads it.
 */
#include "ctl/qmp.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the file, in bytes: all lines, twice. */
#define MAX_SIZE (2 * CVD_CTL_QMP_MAX_HISTORY * (CVD_CTL_QMP_MAX_HISTORY_LINE + 1))

char *cvd_ctl_qmp_history_get_path(void)
{
    return g_build_filename(g_get_user_state_dir(), "cvd", "qmp_history", NULL);
}

static gboolean is_text(const char *line)
{
    if (!g_utf8_validate(line, -1, NULL))
        return FALSE;
    while (*line != '\0' && !g_unichar_iscntrl(g_utf8_get_char(line)))
        line = g_utf8_next_char(line);
    return *line == '\0';
}

gboolean cvd_ctl_qmp_history_may_keep(const char *line)
{
    g_autofree char *text = g_ascii_strdown(line, -1);

    return *line != '\0' && *line != ' ' && strlen(line) <= CVD_CTL_QMP_MAX_HISTORY_LINE &&
           is_text(line) && strstr(text, "passw") == NULL && strstr(text, "secret") == NULL;
}

/* Returns: (transfer full) (nullable): the end of the file; of a line that is not whole nothing */
static char *read_end(const char *path, gboolean *is_too_long)
{
    cvd_autofd fd = cvd_ctl_open_file(AT_FDCWD, path, NULL);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    off_t begin = size > MAX_SIZE ? size - MAX_SIZE : 0;
    g_autofree char *text = size > 0 ? g_malloc0(MAX_SIZE + 1) : NULL;

    *is_too_long = begin > 0;
    if (text == NULL || pread(fd, text, MAX_SIZE, begin) < 0)
        return NULL;
    char *whole = begin > 0 ? strchr(text, '\n') : text;
    return g_strdup(whole);
}

static void cut_file(const char *path, char **lines)
{
    g_autofree char *text = g_strjoinv("\n", lines);
    g_autofree char *whole = g_strconcat(text, "\n", NULL);

    g_file_set_contents_full(path, whole, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
}

char **cvd_ctl_qmp_history_load(const char *path)
{
    gboolean is_too_long;
    g_autofree char *text = read_end(path, &is_too_long);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    g_autoptr(GStrvBuilder) kept = g_strv_builder_new();
    guint n = g_strv_length(lines);
    guint first = n > CVD_CTL_QMP_MAX_HISTORY + 1 ? n - CVD_CTL_QMP_MAX_HISTORY - 1 : 0;

    for (guint i = first; i < n; i++)
        if (cvd_ctl_qmp_history_may_keep(lines[i]))
            g_strv_builder_add(kept, lines[i]);
    char **history = g_strv_builder_end(kept);
    if (is_too_long || n > 2 * CVD_CTL_QMP_MAX_HISTORY)
        cut_file(path, history);
    return history;
}

gboolean cvd_ctl_qmp_history_append(const char *path, const char *line, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = g_strconcat(line, "\n", NULL);

    if (g_mkdir_with_parents(dir, 0700) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", dir);
    cvd_autofd fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is not a regular file", path);
    if (write(fd, text, strlen(text)) != (gssize)strlen(text))
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", path);
    return TRUE;
}
