/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer function for GLib's structured log. stderr is shared with whoever started us, so its
 * O_NONBLOCK flag is not ours to set; lines that must not block go through a file description of
 * our own.
 */
#include "base/log.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_QUOTED_BYTES 32

static struct {
    char *prefix;
    gboolean is_installed;
    gboolean verbose;
    gboolean to_journal;
    gboolean never_block;
    gboolean is_torn; /* the last line went in part, without its end */
    int fd;
    guint n_dropped;
} log_state = {.fd = STDERR_FILENO};

static const char *level_mark(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return "error: ";
    if (level & G_LOG_LEVEL_WARNING)
        return "warning: ";
    return "";
}

static gboolean write_line(const char *text, gsize size)
{
    gssize n;
    gsize whole_size = size;

    do {
        n = log_state.never_block ? cvd_fd_write_nowait(log_state.fd, text, size)
                                  : write(log_state.fd, text, size);
        if (n > 0) {
            text += n;
            size -= (gsize)n;
        }
    } while (size > 0 && (n > 0 || (n < 0 && errno == EINTR)));
    if (size < whole_size)
        log_state.is_torn = size > 0;
    return size == 0;
}

static gboolean is_control(gunichar c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
}

/* What is no UTF-8 is escaped too, as some terminals take single bytes from 0x80 on for controls.
 */
static void append_escaped(GString *line, const char *text)
{
    while (*text != '\0') {
        gunichar c = g_utf8_get_char_validated(text, -1);
        gboolean is_text = c != (gunichar)-1 && c != (gunichar)-2;
        gsize size = is_text ? (gsize)(g_utf8_next_char(text) - text) : 1;
        if (is_text && !is_control(c))
            g_string_append_len(line, text, (gssize)size);
        else
            for (gsize i = 0; i < size; i++)
                g_string_append_printf(line, "\\x%02x", (guchar)text[i]);
        text += size;
    }
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer data)
{
    if (!log_state.verbose && (level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)))
        return G_LOG_WRITER_HANDLED;
    if (log_state.to_journal)
        return g_log_writer_journald(level, fields, n_fields, data);

    const char *message = "";
    for (gsize i = 0; i < n_fields; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0)
            message = fields[i].value;

    g_autoptr(GString) line = g_string_new(log_state.is_torn ? "\n" : NULL);
    const char *prefix = log_state.prefix != NULL ? log_state.prefix : "cvd";
    if (log_state.n_dropped > 0)
        g_string_append_printf(line, "%s: %u %s dropped, as nobody read them\n", prefix,
                               log_state.n_dropped, log_state.n_dropped == 1 ? "line" : "lines");
    g_string_append_printf(line, "%s: %s", prefix, level_mark(level));
    append_escaped(line, message);
    g_string_append_c(line, '\n');

    if (write_line(line->str, line->len))
        log_state.n_dropped = 0;
    else
        log_state.n_dropped++;
    return G_LOG_WRITER_HANDLED;
}

void cvd_log_init(const char *prefix, gboolean verbose)
{
    if (prefix != NULL) {
        g_free(log_state.prefix);
        log_state.prefix = g_strdup(prefix);
    }
    log_state.verbose = verbose;
    if (log_state.is_installed)
        return;
    log_state.is_installed = TRUE;
    log_state.to_journal = g_log_writer_is_journald(STDERR_FILENO);
    g_log_set_writer_func(write_log, NULL, NULL);
}

gboolean cvd_log_is_verbose(void)
{
    return log_state.is_installed
               ? log_state.verbose
               : !g_log_writer_default_would_drop(G_LOG_LEVEL_DEBUG, G_LOG_DOMAIN);
}

void cvd_log_never_block(void)
{
    int fd =
        log_state.never_block ? -1 : cvd_fd_reopen_nonblocking(STDERR_FILENO, O_WRONLY | O_APPEND);

    if (fd < 0)
        return;
    log_state.fd = fd;
    log_state.never_block = TRUE;
}

gboolean cvd_log_limit_pass(CvdLogLimit *limit, gint64 now_us)
{
    gint64 second = now_us / G_USEC_PER_SEC;

    if (second != limit->second) {
        if (limit->n_suppressed > 0)
            g_message("%u more lines like these were left out", limit->n_suppressed);
        *limit = (CvdLogLimit){.second = second};
    }
    if (limit->n_lines >= CVD_LOG_LINES_PER_SECOND) {
        limit->n_suppressed++;
        return FALSE;
    }
    limit->n_lines++;
    return TRUE;
}

char *cvd_escape_bytes(const void *bytes, gsize size)
{
    const guchar *p = bytes;
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < MIN(size, MAX_QUOTED_BYTES); i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
            g_string_append_c(text, (char)p[i]);
        else
            g_string_append_printf(text, "\\x%02x", p[i]);
    }
    if (size > MAX_QUOTED_BYTES)
        g_string_append(text, "…");
    return g_string_free(text, FALSE);
}
