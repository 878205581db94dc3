/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe, as programs open /dev/stderr, which fails for a socket; and as its two ends are different
 * open file descriptions, ours alone is non-blocking. It holds 64 KiB, of which a bounded part is
 * read at once: a program that floods it is held up, not the launcher.
 *
 * The line that is being collected for the log is the only thing in memory, and only with
 * --verbose.
 */
#include "launcher/programs/output.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "base/terminal-text.h"
#include "launcher/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct CvdOutput {
    char *program;
    CvdLogFile *log;
    CvdOutputLoad *load;
    gsize n_bytes; /* its part of that */
    int fd;        /* −1: no process, or it has closed its end */
    GSource *readable;
    GString *line;          /* so far; NULL: nothing, or it is not wanted */
    gboolean is_cut;        /* the rest of the line is left out */
    guint n_lines;          /* in the second that began with the first of them */
    guint n_left_out;       /* then */
    gint64 second_began_us; /* monotonic */
    GSource *second_over;   /* while lines are left out */
};

/* ---- Lines for the log ---- */

static void put_line(const CvdOutput *output, const char *text)
{
    cvd_log_fields(G_LOG_LEVEL_INFO, "CVD_PROGRAM", output->program, "MESSAGE", "%s: %s",
                   output->program, text);
}

static void report_left_out(CvdOutput *output)
{
    cvd_source_clear(&output->second_over);
    if (output->n_left_out == 0)
        return;
    g_autofree char *path = cvd_log_file_get_path(output->log);
    g_autofree char *text = g_strdup_printf("[%u more lines are in %s]", output->n_left_out, path);
    output->n_left_out = 0;
    put_line(output, text);
}

static gboolean on_second_over(gpointer data)
{
    report_left_out(data);
    return G_SOURCE_REMOVE;
}

/* Returns: whether another line may go to the log */
static gboolean may_pass(CvdOutput *output)
{
    gint64 now_us = g_get_monotonic_time();

    if (now_us - output->second_began_us >= G_USEC_PER_SEC) {
        report_left_out(output);
        output->second_began_us = now_us;
        output->n_lines = 0;
    }
    if (output->n_lines < CVD_OUTPUT_LINES_PER_SECOND) {
        output->n_lines++;
        return TRUE;
    }
    if (output->n_left_out++ == 0)
        cvd_source_set_timer(&output->second_over, output->second_began_us + G_USEC_PER_SEC,
                             on_second_over, output);
    return FALSE;
}

static void end_line(CvdOutput *output)
{
    if (may_pass(output)) {
        g_autoptr(GString) text = g_string_new(NULL);
        gboolean has_cr = g_str_has_suffix(output->line->str, "\r");
        cvd_terminal_text_append(text, output->line->str, output->line->len - (has_cr ? 1 : 0),
                                 !output->is_cut);
        if (output->is_cut)
            g_string_append(text, "…");
        put_line(output, text->str);
    }
    g_string_truncate(output->line, 0);
    output->is_cut = FALSE;
}

static void end_last_line(CvdOutput *output)
{
    if (output->line == NULL)
        return;
    if (output->line->len > 0)
        end_line(output);
    g_string_free(g_steal_pointer(&output->line), TRUE);
}

static void collect_lines(CvdOutput *output, const char *bytes, gsize size)
{
    if (output->line == NULL)
        output->line = g_string_new(NULL);
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        gsize n = end != NULL ? (gsize)(end - bytes) : size;
        gsize n_kept = MIN(n, CVD_OUTPUT_MAX_LINE - output->line->len);

        g_string_append_len(output->line, bytes, (gssize)n_kept);
        output->is_cut |= n_kept < n;
        if (end != NULL)
            end_line(output);
        bytes += n + (end != NULL ? 1 : 0);
        size -= n + (end != NULL ? 1 : 0);
    }
}

/* ---- The pipe ---- */

guint cvd_output_load_get_interval_ms(const CvdOutputLoad *load)
{
    gsize n_intervals = (load->n_bytes + CVD_OUTPUT_SHARED_SIZE - 1) / CVD_OUTPUT_SHARED_SIZE;

    return CVD_STREAM_INTERVAL_MS * (guint)MAX(n_intervals, 1);
}

static void set_part(CvdOutput *output, gsize n_bytes)
{
    output->load->n_bytes += n_bytes - output->n_bytes;
    output->n_bytes = n_bytes;
}

static void close_pipe(CvdOutput *output)
{
    set_part(output, 0);
    cvd_source_clear(&output->readable);
    cvd_close_fd(&output->fd);
    end_last_line(output);
}

/* Returns: how much was read; 0: nothing is there now, or nothing comes any more */
static gsize read_once(CvdOutput *output, gsize max_size)
{
    char bytes[CVD_STREAM_READ_SIZE];
    gssize n = read(output->fd, bytes, MIN(sizeof bytes, max_size));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        close_pipe(output);
        return 0;
    }
    cvd_log_file_append(output->log, bytes, (gsize)n);
    if (cvd_log_is_verbose())
        collect_lines(output, bytes, (gsize)n);
    return (gsize)n;
}

static gboolean read_some(gpointer data)
{
    CvdOutput *output = data;
    gsize n_bytes = 0, n;

    do {
        n = read_once(output, CVD_OUTPUT_READ_SIZE - n_bytes);
        n_bytes += n;
    } while (n > 0 && n_bytes < CVD_OUTPUT_READ_SIZE);
    if (output->fd < 0)
        return FALSE;
    set_part(output, n_bytes);
    cvd_source_set_stream_interval(output->readable, cvd_output_load_get_interval_ms(output->load));
    return n_bytes > 0;
}

/* ---- Interface ---- */

CvdOutput *cvd_output_new(CvdInstanceDir *dir, CvdOutputLoad *load, const char *program)
{
    g_autofree char *file = g_strdup_printf("programs/%s.log", program);
    CvdOutput *output = g_new0(CvdOutput, 1);

    output->program = g_strdup(program);
    output->log = cvd_log_file_new_deferred(dir, file);
    output->load = load;
    output->fd = -1;
    return output;
}

void cvd_output_free(CvdOutput *output)
{
    close_pipe(output);
    report_left_out(output);
    cvd_log_file_free(output->log);
    g_free(output->program);
    g_free(output);
}

int cvd_output_open(CvdOutput *output, GError **error)
{
    int ends[2];

    cvd_output_read_rest(output);
    close_pipe(output);
    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make a pipe for the output");
        return -1;
    }
    fchmod(ends[1], 0622); /* /dev/stderr can be opened by a program of another user */
    cvd_log_file_begin_part(output->log);
    output->fd = ends[0];
    output->readable =
        cvd_source_watch_stream(output->fd, CVD_STREAM_INTERVAL_MS, read_some, output);
    return ends[1];
}

void cvd_output_read_rest(CvdOutput *output)
{
    for (gsize n = 0; n < CVD_LOG_FILE_MAX_SIZE; n += CVD_STREAM_READ_SIZE)
        if (output->fd < 0 || read_once(output, CVD_STREAM_READ_SIZE) == 0)
            break;
    end_last_line(output);
}

char **cvd_output_get_last_lines(const CvdOutput *output, guint max_lines)
{
    return cvd_log_file_tail_lines(output->log, max_lines);
}

char *cvd_output_get_path(const CvdOutput *output)
{
    return cvd_log_file_get_path(output->log);
}
