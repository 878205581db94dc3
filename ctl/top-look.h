/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/ctl.h"
#include "ctl/top-view.h"

G_BEGIN_DECLS

/**
 * cvd_top_look:
 * @error: as cvd_instance_list(); %G_IO_ERROR_CANCELLED
 *
 * Asks all instances, or those that --name or --group says, at the same time; one that does not
 * answer within %CVD_CTL_LIST_MS is shown as such. Those that have failed are in it, too. Runs the
 * default #GMainContext meanwhile.
 *
 * Returns: (transfer full) (element-type CvdTopInstance) (nullable): how they are
 */
GPtrArray *cvd_top_look(CvdTool *tool, GError **error);

G_END_DECLS
