/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/processors.h"
#include "launcher/config/types.h"
#include "launcher/config/values.h"
#include "launcher/control-group.h"

G_BEGIN_DECLS

/* A processor's number, a list such as `0-3`, or one of these for each vCPU: in a char **, in which
 * each is a list. */
extern const CvdType cvd_type_pin;

/** cvd_cpus_get_all: @cpus: with a @pin; Returns: all processors of it */
CvdProcessors cvd_cpus_get_all(const CvdCpus *cpus);

/** cvd_cpus_get_limits: Returns: what @qemu wants of a control group */
CvdControlGroupLimits cvd_cpus_get_limits(const CvdQemuConfig *qemu);

/**
 * cvd_cpus_check:
 * @place: of @node
 * @node: qemu.json
 * @qemu: what was read from it
 *
 * Checks what the keys have to do with each other.
 */
void cvd_cpus_check(const CvdPlace *place, JsonNode *node, const CvdQemuConfig *qemu);

G_END_DECLS
