/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_UP_MAX_JOBS: of `--jobs` */
#define CVD_UP_MAX_JOBS 1000

/**
 * CvdUpOptions:
 * @config: the configuration's file
 * @overrides: (array zero-terminated=1) (nullable): the values of `--set`, in order
 * @indices: (nullable): `--index`
 * @from: (nullable): `--from`
 * @n_jobs: how many machines may be starting at once
 * @version: `--version`: nothing else counts
 *
 * The command line: cvd-up(1), OPTIONS.
 */
typedef struct {
    char *config;
    char **overrides;
    char *indices;
    char *from;
    guint n_jobs;
    gboolean version;
} CvdUpOptions;

/**
 * cvd_up_options_parse:
 * @argv: (array zero-terminated=1): the program's arguments, with its name first
 * @options: (out caller-allocates): to be cleared, also after an error
 * @error: a usage error; the message says what to write instead
 *
 * `--help` is answered here, by exit status 0.
 */
gboolean cvd_up_options_parse(const char *const *argv, CvdUpOptions *options, GError **error);

/** cvd_up_options_complete: @words: as of cvd_complete(); Returns: the exit status */
int cvd_up_options_complete(char **words);

void cvd_up_options_clear(CvdUpOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdUpOptions, cvd_up_options_clear)

G_END_DECLS
