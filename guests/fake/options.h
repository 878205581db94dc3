/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_VM_MAX_SLOW_MS: the longest delay of an answer. */
#define CVD_VM_MAX_SLOW_MS 60000
/** CVD_VM_DEFAULT_SLOW_MS: of `--slow` without a number */
#define CVD_VM_DEFAULT_SLOW_MS 100

/**
 * CvdVmOptions:
 * @socket: (nullable): the VM socket
 * @name: (nullable): or the instance's name; neither: the only one that runs
 * @is_mute: serve nothing
 * @scribbles: write all over the window
 * @dies: end abruptly
 * @die_after: after so many served wake-ups; 0: before the hand-over is read
 * @slow_ms: how late every answer and every message of the hand-over is, 0 = not at all
 * @seed: of what @scribbles writes
 *
 * The command line. Zero-initialised is ready for cvd_vm_options_clear().
 */
typedef struct {
    char *socket;
    char *name;
    gboolean verbose;
    gboolean version;
    gboolean is_mute;
    gboolean scribbles;
    gboolean dies;
    guint64 die_after;
    guint slow_ms;
    guint64 seed;
} CvdVmOptions;

/**
 * cvd_vm_options_parse:
 * @argv: (array zero-terminated=1): the command line, program name first
 * @options: (out caller-allocates): what it says
 * @error: %CVD_ERROR_INVALID
 *
 * `--help` prints and exits.
 */
gboolean cvd_vm_options_parse(const char *const *argv, CvdVmOptions *options, GError **error);

/**
 * cvd_vm_options_complete:
 * @words: as of cvd_complete()
 *
 * Returns: the exit status
 */
int cvd_vm_options_complete(char **words);

void cvd_vm_options_clear(CvdVmOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdVmOptions, cvd_vm_options_clear)

G_END_DECLS
