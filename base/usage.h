/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdUsage:
 * @command: the program, and its verb if it has one
 * @parameters: (nullable): what follows the options
 * @summary: what it does
 * @verbs: (nullable): a list of verbs, whole lines
 * @options: (nullable): its options, without --help; one without a description shares the line and
 *   the description of the one before it
 * @common: (nullable): further ones
 * @epilogue: what else there is to say, whole lines
 * @data: for the callbacks of @options
 * @is_strict: options end where the first argument is
 *
 * A command line: what it may have, and what --help says of it.
 */
typedef struct {
    const char *command;
    const char *parameters;
    const char *summary;
    const char *verbs;
    const GOptionEntry *options;
    const GOptionEntry *common;
    const char *epilogue;
    gpointer data;
    gboolean is_strict;
} CvdUsage;

/**
 * cvd_usage_parse:
 * @argv: (inout) (array zero-terminated=1): the command line, program name first; options are
 *   removed
 * @error: of %G_OPTION_ERROR
 *
 * `--help` prints and exits.
 */
gboolean cvd_usage_parse(const CvdUsage *usage, char ***argv, GError **error);

/**
 * cvd_usage_format:
 *
 * Returns: (transfer full): what `--help` prints: no line is longer than 80 columns
 */
char *cvd_usage_format(const CvdUsage *usage);

/**
 * cvd_usage_add_given:
 * @options: (nullable): flags, strings and names of files
 * @words: (element-type utf8): a command line, which frees its words
 *
 * Adds those of the options that have been given, as words that say the same: `--name=VALUE`.
 */
void cvd_usage_add_given(const GOptionEntry *options, GPtrArray *words);

G_END_DECLS
