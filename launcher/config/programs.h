/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_MAX_PROGRAMS: host programs of one instance */
#define CVD_MAX_PROGRAMS 128
/** CVD_MAX_SOCKETS: of one host program */
#define CVD_MAX_SOCKETS 16
/** CVD_MAX_PASSED_REGIONS: how many regions a host program may inherit */
#define CVD_MAX_PASSED_REGIONS 64

/** cvd_program_keys: name and value of a host program, in a #CvdProgramConfig */
extern const CvdKey cvd_program_keys[];
/** cvd_hook_keys: keys of `hooks`, which fill a #CvdHooks */
extern const CvdKey cvd_hook_keys[];

/**
 * cvd_programs_check:
 * @place: where cvd.json stands
 * @root: what stands there
 * @config: what was read from there, with its layout if that is known
 *
 * Reports what only shows in the whole: names of regions, programs and sockets, what excludes each
 * other, and substitutions. Fills in the defaults that depend on other keys.
 */
void cvd_programs_check(const CvdPlace *place, JsonNode *root, CvdConfig *config);

/**
 * cvd_programs_check_paths:
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Reports paths of sockets that do not fit a socket address. Touches nothing.
 */
void cvd_programs_check_paths(const CvdConfig *config, GPtrArray *problems);

G_END_DECLS
