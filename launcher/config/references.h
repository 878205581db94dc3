/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_RAM_ID: of the memory back end that `memory_shared` and `ivshmem.migratable` make */
#define CVD_RAM_ID "cvd-ram"

/**
 * cvd_qemu_check_references:
 * @place: of @node
 * @node: qemu.json
 * @root_place: of @root
 * @root: cvd.json
 * @config: what was read from both
 *
 * Checks that what devices and back ends name is there: disks, networks, character devices, TPMs,
 * and memory that can be shared with others.
 */
void cvd_qemu_check_references(const CvdPlace *place, JsonNode *node, const CvdPlace *root_place,
                               JsonNode *root, const CvdConfig *config);

/**
 * cvd_qemu_check_sockets:
 * @place: of @node
 * @node: qemu.json
 * @root_place: of @root
 * @root: cvd.json
 * @config: what was read from there, host programs included
 *
 * Checks the substitutions in qemu.json, and that each socket of a host program is used there once;
 * nothing where the programs have had problems themselves.
 */
void cvd_qemu_check_sockets(const CvdPlace *place, JsonNode *node, const CvdPlace *root_place,
                            JsonNode *root, const CvdConfig *config);

G_END_DECLS
