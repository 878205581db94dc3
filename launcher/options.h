/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_EXIT_USAGE: the exit status of cvd-launch and cvd-up if configuration, snapshot or command
 * line are wrong, and nothing was started: docs/cvd-launch.1 */
#define CVD_EXIT_USAGE 2

/** CVD_MAX_TIMEOUT_S: of `--timeout`: a year */
#define CVD_MAX_TIMEOUT_S (365 * 24 * 60 * 60)

typedef enum {
    CVD_MODE_LAUNCH,        /* start a VM and serve it */
    CVD_MODE_SERVE_ONLY,    /* serve a VM that somebody else starts */
    CVD_MODE_CHECK,         /* look for problems */
    CVD_MODE_DOCTOR,        /* look at the machine */
    CVD_MODE_PRINT_CONFIG,  /* show the configuration */
    CVD_MODE_PRINT_COMMAND, /* show QEMU's command line */
    CVD_MODE_PRINT_LAYOUT,  /* show the window */
} CvdMode;

typedef enum {
    CVD_LAYOUT_FORMAT_TEXT,
    CVD_LAYOUT_FORMAT_JSON,
    CVD_LAYOUT_FORMAT_C,
} CvdLayoutFormat;

/**
 * CvdOptions:
 * @mode: what to do
 * @mode_option: (nullable): the option that says so
 * @layout_format: for %CVD_MODE_PRINT_LAYOUT
 * @config: (nullable): `--config`
 * @name: (nullable): `--name`
 * @index: (nullable): `--index`
 * @from: (nullable): `--from`
 * @overrides: (array zero-terminated=1) (nullable): the values of `--set`, in order
 * @json: `--json`
 * @paused: `--paused`
 * @timeout_s: `--timeout`; 0 = none
 * @trace: (nullable): `--trace`
 * @console: `--console`
 * @detach: `--detach`
 * @verbose: `--verbose`
 * @version: `--version`: nothing else counts
 * @start_time_us: when it was parsed, in monotonic time: as the program starts
 *
 * The command line: cvd-launch(1), OPTIONS.
 */
typedef struct {
    CvdMode mode;
    const char *mode_option;
    CvdLayoutFormat layout_format;
    char *config;
    char *name;
    char *from;
    char *index;
    char **overrides;
    gboolean json;
    gboolean paused;
    guint timeout_s;
    char *trace;
    gboolean console;
    gboolean detach;
    gboolean verbose;
    gboolean version;
    gint64 start_time_us;
} CvdOptions;

/**
 * cvd_options_parse:
 * @argv: (array zero-terminated=1): the program's arguments, with its name first
 * @options: (out caller-allocates): to be cleared, also after an error
 * @error: a usage error, of %G_OPTION_ERROR or %CVD_ERROR_INVALID; the message says what to write
 *   instead
 *
 * `--help` is answered here, by exit status 0.
 */
gboolean cvd_options_parse(const char *const *argv, CvdOptions *options, GError **error);
/**
 * cvd_options_complete:
 * @words: as of cvd_complete()
 *
 * Returns: the exit status
 */
int cvd_options_complete(char **words);

/** cvd_options_add_keys: adds what PATH=VALUE of --set may begin with, by cvd_complete_add() */
void cvd_options_add_keys(GPtrArray *words);
/** cvd_options_add_snapshots: adds the names of all snapshots, and that it may be a path */
void cvd_options_add_snapshots(GPtrArray *words);

void cvd_options_clear(CvdOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdOptions, cvd_options_clear)

G_END_DECLS
