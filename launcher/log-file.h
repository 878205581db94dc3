/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/instance-dir.h"

G_BEGIN_DECLS

/** CVD_LOG_FILE_MAX_SIZE: of one file, in bytes; with the older one it is twice that at most. */
#define CVD_LOG_FILE_MAX_SIZE (1024 * 1024)

/** CVD_LOG_FILE_TAIL_SIZE: how much of the end is kept in memory, bytes */
#define CVD_LOG_FILE_TAIL_SIZE (64 * 1024)

/** CVD_LOG_FILE_LINES_SIZE: of the end that cvd_log_file_tail_lines() has at most, bytes */
#define CVD_LOG_FILE_LINES_SIZE 8192

/**
 * CvdLogFile:
 *
 * A log in the instance's directory, bounded and rotated: when NAME is full it becomes NAME.1, in
 * place of the one before, and a new NAME begins. A disk that is full costs lines, never the VM.
 */
typedef struct CvdLogFile CvdLogFile;

/**
 * cvd_log_file_new:
 * @dir: outlives the log
 * @name: `console.log` or `qemu.log`
 *
 * Returns: (transfer full) (nullable): a new, empty log
 */
CvdLogFile *cvd_log_file_new(CvdInstanceDir *dir, const char *name, GError **error);

/**
 * cvd_log_file_new_deferred:
 * @dir: outlives the log
 * @name: `programs/NAME.log`
 *
 * Its file is made with the first byte, and nothing of it is kept in memory: cvd_log_file_tail() is
 * not for such a log, and cvd_log_file_tail_lines() reads the file.
 *
 * Returns: (transfer full): a new, empty log
 */
CvdLogFile *cvd_log_file_new_deferred(CvdInstanceDir *dir, const char *name);
void cvd_log_file_free(CvdLogFile *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLogFile, cvd_log_file_free)

/** cvd_log_file_begin_part: the tail knows nothing of what was there before. */
void cvd_log_file_begin_part(CvdLogFile *log);

/** cvd_log_file_get_path: Returns: (transfer full): where it is, or will be */
char *cvd_log_file_get_path(const CvdLogFile *log);

/** cvd_log_file_append: What cannot be written is lost; the first loss is a line in the log. */
void cvd_log_file_append(CvdLogFile *log, const char *bytes, gsize size);

/**
 * cvd_log_file_tail:
 * @max_size: how much is wanted, at most %CVD_LOG_FILE_TAIL_SIZE
 *
 * Returns: (transfer none) (array length=size): the last bytes of this part, also those that found
 *   no room on the disk, until the next are appended; NUL is behind them
 */
const char *cvd_log_file_tail(const CvdLogFile *log, gsize max_size, gsize *size);

/**
 * cvd_log_file_tail_lines:
 *
 * Returns: (transfer full) (array zero-terminated=1): the last lines of the tail, without their
 *   ends; of a line that is very long the end; NUL bytes are replaced
 */
char **cvd_log_file_tail_lines(const CvdLogFile *log, guint max_lines);

G_END_DECLS
