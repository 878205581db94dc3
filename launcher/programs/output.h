/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/instance-dir.h"

G_BEGIN_DECLS

/**
 * CvdOutput:
 *
 * What one host program prints, on its stdout and stderr: it goes to `programs/NAME.log` in the
 * instance's directory, bounded and rotated as #CvdLogFile is, and with --verbose also to the log,
 * line by line. Outlives the program's processes. In the thread's default #GMainContext.
 */
typedef struct CvdOutput CvdOutput;

/**
 * CVD_OUTPUT_MAX_LINE, CVD_OUTPUT_LINES_PER_SECOND:
 *
 * What goes to the log of a line, in bytes, and of the lines of one program. All of them are in its
 * file.
 */
#define CVD_OUTPUT_MAX_LINE         1024
#define CVD_OUTPUT_LINES_PER_SECOND 50

/** CVD_OUTPUT_READ_SIZE: bytes that are read at once, before a pause of %CVD_STREAM_INTERVAL_MS:
 * what a pipe holds */
#define CVD_OUTPUT_READ_SIZE 65536

/** CVD_OUTPUT_SHARED_SIZE: bytes that are read of all outputs together in %CVD_STREAM_INTERVAL_MS
 */
#define CVD_OUTPUT_SHARED_SIZE (2 * CVD_OUTPUT_READ_SIZE)

/**
 * CvdOutputLoad:
 * @n_bytes: the sum of what was read of each the last time
 *
 * What the outputs of a launch share: the more they print together, the longer is the pause of
 * each. All zero at first.
 */
typedef struct {
    gsize n_bytes;
} CvdOutputLoad;

/** cvd_output_load_get_interval_ms: Returns: from one read of an output to its next */
guint cvd_output_load_get_interval_ms(const CvdOutputLoad *load);

/**
 * cvd_output_new:
 * @dir: outlives the output, as does @load
 * @program: the program's name, as instances' names are
 *
 * Returns: (transfer full): makes its file with the first byte
 */
CvdOutput *cvd_output_new(CvdInstanceDir *dir, CvdOutputLoad *load, const char *program);

/** cvd_output_free: nobody reads what comes after this; the file stays */
void cvd_output_free(CvdOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdOutput, cvd_output_free)

/**
 * cvd_output_open:
 * @error: %CVD_ERROR_FAILED: no pipe is to be had
 *
 * Begins with another process of the program; the pipe of the one before is read as
 * cvd_output_read_rest() does, and closed. What the program writes faster than it is read makes the
 * program wait.
 *
 * Returns: (transfer full): the end to write to, a blocking pipe, for the stdout and stderr of a
 *   child, which may be any user's; −1 on failure
 */
int cvd_output_open(CvdOutput *output, GError **error);

/** cvd_output_read_rest: reads what a process that is gone has left; a bounded amount, as somebody
 * else may still be writing */
void cvd_output_read_rest(CvdOutput *output);

/**
 * cvd_output_get_last_lines:
 *
 * Reads the file, for the message that the program has failed.
 *
 * Returns: (transfer full) (array zero-terminated=1): as cvd_log_file_tail_lines(), the last that
 *   the process of the last cvd_output_open() has written
 */
char **cvd_output_get_last_lines(const CvdOutput *output, guint max_lines);

/** cvd_output_get_path: Returns: (transfer full): where its file is, if it has printed anything */
char *cvd_output_get_path(const CvdOutput *output);

G_END_DECLS
