/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/tool.h"

G_BEGIN_DECLS

/*< private >*/
/**
 * cvd_tool_complete:
 * @common: the options that all verbs have
 * @words: (array zero-terminated=1): what stands on the shell's command line after the program's
 *   name; the last is to be completed
 *
 * Prints what may stand there, a line each, whatever it begins with.
 */
gboolean cvd_tool_complete(const CvdToolProgram *program, CvdTool *tool, const GOptionEntry *common,
                           char **words, GError **error);

G_END_DECLS
