/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The files that a snapshot has; those of disks are of cvd_snapshot_format_disk() */
#define CVD_SNAPSHOT_METADATA       "snapshot.json"
#define CVD_SNAPSHOT_CONFIG         "cvd.json"
#define CVD_SNAPSHOT_STATE          "state"
#define CVD_SNAPSHOT_WINDOW         "window"
#define CVD_SNAPSHOT_RAM            "ram"
#define CVD_SNAPSHOT_RAM_COMPRESSED "ram.zst"

/** CVD_SNAPSHOT_MAX_DISKS: of one snapshot */
#define CVD_SNAPSHOT_MAX_DISKS 64

/** cvd_snapshot_format_disk: Returns: (transfer full): the file of the disk @index, from 0 on */
char *cvd_snapshot_format_disk(guint index);

/** CvdSnapshotDoorbell: of a region, that was rung and not answered */
typedef struct {
    guint region;
    gboolean to_guest;
} CvdSnapshotDoorbell;

/**
 * CvdSnapshotInfo:
 * @name: that it was made with; its directory may have another by now
 * @time_s: when the machine was stopped for it, since 1970
 * @product_version: of cvd-launch
 * @instance: that it was made of
 * @qemu_version: e.g. `7.2.22`
 * @machine: the machine type as QEMU has it in the end: `pc-q35-7.2`
 * @accel: `tcg`, `kvm`
 * @memory_bytes: of the guest
 * @layout_digest: SHA-256 of the layout's descriptors, 64 hexadecimal digits
 * @has_ram: the guest's RAM is a file; %FALSE: it is part of QEMU's state
 * @is_compressed: which is %CVD_SNAPSHOT_RAM_COMPRESSED
 * @doorbells: (element-type CvdSnapshotDoorbell): pending, in the order of regions
 * @config_directory: (nullable): absolute: what relative paths of the configuration refer to
 * @qemu_directory: (nullable): the same of qemu.json
 * @disks: (element-type utf8): the node names of disks, whose files are numbered in this order
 *
 * What a snapshot says of itself. Strings have 1 to 4096 bytes of printable UTF-8.
 */
typedef struct {
    char *name;
    gint64 time_s;
    char *product_version;
    char *instance;
    char *qemu_version;
    char *machine;
    char *accel;
    guint64 memory_bytes;
    char *layout_digest;
    gboolean has_ram;
    gboolean is_compressed;
    GArray *doorbells;
    char *config_directory;
    char *qemu_directory;
    GPtrArray *disks;
} CvdSnapshotInfo;

/** cvd_snapshot_info_new: Returns: (transfer full): one without anything, its arrays empty */
CvdSnapshotInfo *cvd_snapshot_info_new(void);
void cvd_snapshot_info_free(CvdSnapshotInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdSnapshotInfo, cvd_snapshot_info_free)

/**
 * CvdSnapshotFile:
 * @size: in bytes
 * @digest: 64 hexadecimal digits, as docs/snapshots.md has it
 * @stamp: when it had been written
 *
 * What snapshot.json says of another file.
 */
typedef struct {
    char *name;
    guint64 size;
    char *digest;
    char *stamp;
} CvdSnapshotFile;

void cvd_snapshot_file_free(CvdSnapshotFile *file);

G_END_DECLS
