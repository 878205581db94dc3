/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of configurations share: files to read, and what was said of them. */
#pragma once

#include "launcher/config/config.h"

G_BEGIN_DECLS

#define LAYOUT                                                                                     \
    "{\"vsoc_device_regions\": [{\"device_name\": \"a\", \"current_version\": 1,"                  \
    " \"min_compatible_version\": 1, \"region_size\": 4096,"                                       \
    " \"guest_to_host_signal_table\": {\"num_nodes_lg2\": 0},"                                     \
    " \"host_to_guest_signal_table\": {\"num_nodes_lg2\": 0}}]}"

/**
 * Files:
 *
 * A directory with conf/cvd.json, conf/qemu.json and conf/layout.json; it is the current one.
 */
typedef struct {
    char *old_directory;
    char *directory;
    GPtrArray *problems;
} Files;

void files_set_up(Files *files, gconstpointer data);
void files_tear_down(Files *files, gconstpointer data);

void write_file(const char *name, const char *text);
void remove_tree(const char *directory);

/** load: Returns: (transfer full) (nullable): what conf/cvd.json comes to */
CvdConfig *load(Files *files, const char *const *overrides);
/** load_good: the same, where there are to be no problems */
CvdConfig *load_good(Files *files, const char *const *overrides);

/** assert_problem: @part is in problem @i */
void assert_problem(Files *files, guint i, const char *part);
/** assert_bad: there is one problem, with @part in it */
void assert_bad(Files *files, const char *const *overrides, const char *part);

G_END_DECLS
