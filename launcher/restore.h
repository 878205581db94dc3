/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot.h"
#include "launcher/config/config.h"
#include "launcher/config/probe.h"
#include "launcher/qemu/command.h"

G_BEGIN_DECLS

/** CvdRestoreRam: how each VM comes by its RAM */
typedef enum {
    CVD_RESTORE_RAM_IN_STATE, /* QEMU reads it from its stream */
    CVD_RESTORE_RAM_PRIVATE,  /* a file, of which VMs share what they do not write to */
    CVD_RESTORE_RAM_COPIED,   /* memory that is filled before each QEMU is started */
} CvdRestoreRam;

/**
 * CvdRestore:
 * @name: as the user has written it
 * @snapshot: kept from being deleted
 * @info: of @snapshot
 * @ram: set by cvd_restore_probe()
 * @ram_fd: with %CVD_RESTORE_RAM_PRIVATE: the file, or a copy of it once cvd_restore_verify() has
 *   made that; else −1
 * @state_fd: QEMU's state, as it is to be read; −1 until cvd_restore_verify()
 * @has_rom: whether QEMU can take a file that it must not write to for RAM
 * @config_opened: the path by which its configuration is opened: of the directory that was checked,
 *   whatever has its name by then
 * @qemu_img: (nullable): the program that makes disks
 *
 * The snapshot that a launch is from.
 */
typedef struct {
    char *name;
    CvdSnapshot *snapshot;
    const CvdSnapshotInfo *info;
    CvdRestoreRam ram;
    int ram_fd;
    int state_fd;
    gboolean has_rom;
    char *config_opened;
    char *qemu_img;
} CvdRestore;

/**
 * cvd_restore_open:
 * @from: `--from`
 * @error: as cvd_snapshot_open()
 *
 * Returns: (transfer full) (nullable): the snapshot
 */
CvdRestore *cvd_restore_open(const char *from, GError **error);
void cvd_restore_free(CvdRestore *restore);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdRestore, cvd_restore_free)

/** cvd_restore_get_config_path: Returns: (transfer full): where its configuration is */
char *cvd_restore_get_config_path(const CvdRestore *restore);

/** cvd_restore_get_source: @path: of cvd_restore_get_config_path(); Returns: how that is read;
 * borrows all */
CvdConfigSource cvd_restore_get_source(const CvdRestore *restore, const char *path);

/**
 * cvd_restore_check:
 * @config: that the machine is to have
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Whether the machine is the one that was saved: all that QEMU cannot change any more. What it says
 * of itself is compared later, by cvd_restore_check_qemu().
 */
gboolean cvd_restore_check(const CvdRestore *restore, const CvdConfig *config, GPtrArray *problems);

/**
 * cvd_restore_probe:
 * @tools: (inout): what cvd_config_probe() found; is left with the snapshot's accelerator
 * @problems: (element-type utf8): as cvd_config_probe()
 *
 * What else the machine needs, and how it comes by its RAM.
 */
gboolean cvd_restore_probe(CvdRestore *restore, const CvdConfig *config, CvdQemuTools *tools,
                           GPtrArray *problems);

/**
 * cvd_restore_verify:
 * @error: as cvd_snapshot_verify()
 *
 * Reads what has to be read before it is used, and unpacks RAM for all VMs of the launch. May take
 * long: says so on a terminal.
 */
gboolean cvd_restore_verify(CvdRestore *restore, const CvdConfig *config, GError **error);

/** cvd_restore_open_state: Returns: (transfer full): a descriptor of QEMU's state, for one QEMU to
 * read from its beginning; −1 with @error set */
int cvd_restore_open_state(const CvdRestore *restore, GError **error);

/** cvd_restore_get_ram_file: Returns: (transfer none): the file that has the RAM, if one has */
const char *cvd_restore_get_ram_file(const CvdRestore *restore);

/** cvd_restore_get_ram_path: Returns: (transfer full) (nullable): the same, if QEMU can map it */
char *cvd_restore_get_ram_path(const CvdRestore *restore);

/** cvd_restore_get_origin: Returns: what QEMU's command line says of it, but for paths, descriptors
 * and disks */
CvdQemuOrigin cvd_restore_get_origin(const CvdRestore *restore);

/** CVD_RESTORE_MAX_FDS: of cvd_restore_get_fds() */
#define CVD_RESTORE_MAX_FDS 3

/** cvd_restore_get_fds: Returns: how many descriptors it has, which a process for the machine needs
 */
guint cvd_restore_get_fds(const CvdRestore *restore, int fds[CVD_RESTORE_MAX_FDS]);

/**
 * cvd_restore_check_qemu:
 * @version: of QEMU, such as `7.2.22`; %NULL: it does not say
 * @error: %CVD_ERROR_INVALID
 */
gboolean cvd_restore_check_qemu(const CvdRestore *restore, const char *version, GError **error);

/** cvd_restore_check_machine: @type: (nullable): QEMU's class of the machine: `pc-q35-7.2-machine`;
 * @error: %CVD_ERROR_INVALID */
gboolean cvd_restore_check_machine(const CvdRestore *restore, const char *type, GError **error);

G_END_DECLS
