/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/instance-dir.h"

G_BEGIN_DECLS

/** CVD_RECORD_FILE, CVD_RECORD_WINDOW_FILE: names in the instance's directory */
#define CVD_RECORD_FILE        "failure.json"
#define CVD_RECORD_WINDOW_FILE "window.img"
/** CVD_RECORD_MAX_WINDOW_DATA: of a window with more written pages than this, bytes, none is kept.
 */
#define CVD_RECORD_MAX_WINDOW_DATA (256 * 1024 * 1024)

/**
 * CvdRecord:
 * @config: what was launched
 * @argv: (array zero-terminated=1) (nullable): QEMU's command line
 * @state: as cvd_state_get_name() has it
 * @reason: (nullable): how it ended, or why it is in that state
 * @qmp_tail: (array zero-terminated=1) (nullable): the last lines of the QMP conversation, each
 *   with `> ` or `< ` before it
 * @from: (nullable): the snapshot that each VM was started from
 * @restarts: VMs started after the first
 * @window: (nullable): what has become of the copy of the window
 *
 * What a failure leaves for `cvd-ctl report`. Everything is borrowed.
 */
typedef struct {
    const CvdConfig *config;
    const char *const *argv;
    const char *state;
    const char *reason;
    const char *const *qmp_tail;
    const char *from;
    guint restarts;
    const char *window;
} CvdRecord;

/** cvd_record_to_json: Returns: (transfer full): the record as one JSON object. */
char *cvd_record_to_json(const CvdRecord *record);

/**
 * cvd_record_write:
 * @dir: where
 * @record: what, but for its @window
 * @window_fd: the window; −1 = none
 *
 * Writes %CVD_RECORD_FILE and a sparse copy of the window, mode 0600, over those of an earlier
 * failure. What cannot be written is a line in the log and no failure of its own.
 */
void cvd_record_write(CvdInstanceDir *dir, const CvdRecord *record, int window_fd);

G_END_DECLS
