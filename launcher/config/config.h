/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * CvdConfigSource:
 * @path: cvd.json; `-` = standard input
 * @opened: (nullable): the path by which it is opened, if @path is only what it is called
 * @directory: (nullable): absolute: what relative paths in @path are relative to, in place of its
 * own directory
 * @qemu_directory: (nullable): absolute: QEMU's working directory, unless qemu.json is a file of
 * its own
 * @name: (nullable): instance name over the configuration's
 * @index: (nullable): `--index`: which machine of a group
 * @may_choose: whether the first of a group is meant without an @index
 * @overrides: (array zero-terminated=1) (nullable): `PATH=VALUE` strings of `--set`, in order
 * @keep_broken: whether a configuration is returned in spite of its problems, where the hardware
 *   could be read, so that more can be looked for; it may be without a layout
 * @explain: whether #CvdConfig.explanation is made: the configuration as JSON, and where each value
 *   comes from
 */
typedef struct {
    const char *path;
    const char *opened;
    const char *directory;
    const char *qemu_directory;
    const char *name;
    const char *index;
    gboolean may_choose;
    const char *const *overrides;
    gboolean keep_broken;
    gboolean explain;
} CvdConfigSource;

/**
 * cvd_config_find:
 * @name: (nullable): `--name`
 * @places: (out) (optional) (transfer full): all the paths that are looked at, with commas
 *
 * What there is in place of `--config`: NAME.json in the user's folder, the system's and that of
 * the shipped files, then cvd.json in conf/ and in these. A file in conf/ or the user's folder that
 * is neither this user's nor root's is passed over, with a warning.
 *
 * Returns: (transfer full) (nullable): the first file that is there and may be used
 */
char *cvd_config_find(const char *name, char **places);

/**
 * cvd_config_load:
 * @source: where from
 * @problems: (element-type utf8): every problem found is appended, each a line that has file, JSON
 *   path, what was found and what is allowed; the array must free its elements with g_free()
 *
 * Reads and checks cvd.json, and the two files or inline objects that it names. Touches nothing
 * else: whether binaries and kernels exist is cvd_config_probe()'s business. What is only worth a
 * warning goes to the log.
 *
 * Returns: (transfer full) (nullable): the configuration, or %NULL after at least one problem, but
 *   see @keep_broken
 */
CvdConfig *cvd_config_load(const CvdConfigSource *source, GPtrArray *problems);
/** cvd_config_log_problems: @problems: of cvd_config_load(), of which a hundred are logged */
void cvd_config_log_problems(GPtrArray *problems);
/**
 * cvd_config_to_json:
 *
 * Returns: (transfer full): the values of all keys, as cvd.json would have them; `layout` is what
 * was computed, as `--print-layout=json` shows it
 */
JsonNode *cvd_config_to_json(const CvdConfig *config);

/**
 * cvd_config_format:
 * @config: of a VM that QEMU can save
 *
 * Returns: (transfer full): the text of a cvd.json that comes to the same and names no other
 *   configuration file; what it has of relative paths refers to @directory and @qemu.directory
 */
char *cvd_config_format(const CvdConfig *config);

void cvd_config_free(CvdConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdConfig, cvd_config_free)

/**
 * cvd_config_check_sockets:
 * @config: a configuration
 * @runtime_directory: absolute path of the instance's runtime directory
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Checks that the path of every socket of the instance, the configured ones and those in the
 * runtime directory, fits a socket address. Touches nothing.
 */
gboolean cvd_config_check_sockets(const CvdConfig *config, const char *runtime_directory,
                                  GPtrArray *problems);

G_END_DECLS
