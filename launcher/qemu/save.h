/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/**
 * CvdSave:
 *
 * QEMU writes the state of its VM, whose guest stands still, to a file: what it calls a migration.
 */
typedef struct CvdSave CvdSave;

/**
 * CvdSaveDone:
 * @error: (nullable): %NULL: the state is written, and the disks are complete;
 *   %G_IO_ERROR_CANCELLED; %G_IO_ERROR_NO_SPACE, without the file's name;
 *   %CVD_ERROR_FAILED: what QEMU says, and what to do; %CVD_ERROR_TIMED_OUT: it writes nothing;
 *   %CVD_ERROR_CLOSED: it is gone
 *
 * Nothing is under way any more: the guest may go on.
 */
typedef void (*CvdSaveDone)(const GError *error, gpointer user_data);

/**
 * cvd_save_new:
 * @qmp: outlives the save
 * @take_fd: the file, empty; consumed
 * @ignore_shared: leave shared memory out
 * @limit_ms: how long QEMU may write nothing; 0 = as long as it likes
 * @done: called once, after cvd_save_start(); may free the save
 *
 * Returns: (transfer full)
 */
CvdSave *cvd_save_new(CvdQmp *qmp, int take_fd, gboolean ignore_shared, guint limit_ms,
                      CvdSaveDone done, gpointer user_data);
/** cvd_save_free: before cvd_save_start(), or when @done has been called */
void cvd_save_free(CvdSave *save);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdSave, cvd_save_free)

/** cvd_save_start: @done may be called at once */
void cvd_save_start(CvdSave *save);

/** cvd_save_event: @members: (nullable): of QMP's event MIGRATION, anybody's */
void cvd_save_event(CvdSave *save, JsonObject *members);

/** cvd_save_closed: QMP has ended, and has answered all commands; it may be freed. @done is called
 * at once. */
void cvd_save_closed(CvdSave *save);

/** cvd_save_cancel: @done is called soon, perhaps at once. Idempotent. */
void cvd_save_cancel(CvdSave *save);

/** cvd_save_include_shared: has a migration that somebody else asks for contain all memory, as QEMU
 * has it without the capability that a save or a restore sets */
void cvd_save_include_shared(CvdQmp *qmp);

G_END_DECLS
