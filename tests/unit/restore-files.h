/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of launches from a snapshot share: a snapshot, and the configuration of it. */
#pragma once

#include "launcher/restore.h"
#include "tests/unit/config-files.h"

G_BEGIN_DECLS

#define MIB         (1024 * 1024)
#define RAM_SIZE    (4 * MIB)
#define RAM_PLACE   (3 * MIB)
#define WINDOW_SIZE 8192

/* As a stream has it: the length of the name, the name, and two big-endian numbers. */
#define BLOCK(bus) "\x19" bus "/ivshmem.bar2\0\0\0\0\0\0\x20\0\0\0\0\0\xfe\xbc\0\0"

/**
 * Restored:
 * @restore: of the snapshot `./s`
 * @config: as it was when that was taken
 */
typedef struct {
    Files files;
    CvdRestore *restore;
    CvdConfig *config;
} Restored;

/** restored_json: a cvd.json with two disks */
extern const char restored_json[];

/** restored_set_up: @json: of the machine that was saved; @ram: (nullable): the file of the
 * snapshot that has the RAM; %NULL: it is in the state */
void restored_set_up(Restored *f, const char *json, const char *ram);
void restored_tear_down(Restored *f, gconstpointer data);

/** restored_load: Returns: (transfer full): the configuration with @overrides: (nullable) */
CvdConfig *restored_load(Restored *f, const char *const *overrides);

G_END_DECLS
