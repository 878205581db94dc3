/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/restore.h"

G_BEGIN_DECLS

/**
 * cvd_restore_place_disks:
 * @config: (inout): as cvd_restore_check() has found it right
 * @dir: an absolute path
 *
 * Puts `disk-N.qcow2` of that directory in the place of each disk that the snapshot has.
 */
void cvd_restore_place_disks(const CvdRestore *restore, CvdConfig *config, const char *dir);

/**
 * cvd_restore_add_layers:
 * @disks: (element-type CvdSaveDisk): of a VM from the snapshot, which is to be saved
 *
 * Adds the snapshot's own files of these disks, which they are overlays over: so that the new
 * snapshot does not need this one.
 */
void cvd_restore_add_layers(const CvdRestore *restore, GPtrArray *disks);

/**
 * cvd_restore_get_blockdevs:
 * @config: after cvd_restore_place_disks()
 *
 * QEMU opens no disk by its path, which its user may not reach: each is a set of descriptors of
 * #CvdQemuOrigin, as cvd_overlays_get_fds() has them.
 *
 * Returns: (transfer full) (array zero-terminated=1): the entries of `blockdevs`, JSON
 */
char **cvd_restore_get_blockdevs(const CvdRestore *restore, const CvdConfig *config);

/**
 * CvdOverlays:
 *
 * The disks of one VM: what it writes goes to files of its own, in the instance's directory. Made
 * one after the other by qemu-img, in the thread's default #GMainContext.
 */
typedef struct CvdOverlays CvdOverlays;

/**
 * CvdOverlaysDone:
 * @error: (nullable): %NULL: all of them are there; %CVD_ERROR_FAILED
 */
typedef void (*CvdOverlaysDone)(const GError *error, gpointer user_data);

/**
 * cvd_overlays_make:
 * @restore, @dir, @children: borrowed; outlive the overlays
 * @done: called once, from the main loop; may free the overlays
 *
 * Returns: (transfer full): the overlays
 */
CvdOverlays *cvd_overlays_make(const CvdRestore *restore, CvdInstanceDir *dir,
                               CvdChildren *children, CvdOverlaysDone done, gpointer user_data);

/** cvd_overlays_free: ends qemu-img if it runs; the files stay until the instance's directory is
 * released, or others are made */
void cvd_overlays_free(CvdOverlays *overlays);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdOverlays, cvd_overlays_free)

/** cvd_overlays_get_fds: Returns: (transfer none) (array length=n_fds): each disk's overlay, and
 * then what it is over, for reading */
const int *cvd_overlays_get_fds(const CvdOverlays *overlays, guint *n_fds);

G_END_DECLS
