/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/clone.h"

G_BEGIN_DECLS

/** Resource: what the kernel counts and limits */
typedef enum {
    RESOURCE_LAUNCHER_FDS,
    RESOURCE_LAUNCHER_THREADS,
    RESOURCE_QEMU_FDS,
    RESOURCE_QEMU_THREADS,
    RESOURCE_QEMU_MAPPINGS,
    RESOURCE_QEMU_DATA_MB,
    RESOURCE_MEMFDS,
    RESOURCE_EVENTFDS,
    RESOURCE_SOCKETS,
    RESOURCE_TERMINALS,
    RESOURCE_INOTIFY,
    RESOURCE_FILES,
    RESOURCE_DISK_KIB,
    N_RESOURCES,
} Resource;

/** Resources: how many of each, by Resource */
typedef struct {
    guint64 counts[N_RESOURCES];
} Resources;

/** resources_add: adds what launcher, QEMU and directory of a machine have now */
void resources_add(Resources *resources, const TestClone *machine);
/** resources_report: one machine beside @n of them */
void resources_report(const Resources *one, const Resources *all, guint n);

/** resources_read_disk_kib: Returns: what all files and directories below @path take on disk */
guint64 resources_read_disk_kib(const char *path, guint64 *n_files);

G_END_DECLS
