/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * CvdLayoutFile:
 * @spec: the regions as written; rules are not checked yet
 * @vmm_path: (nullable): emulator that a file of 2017 names
 * @kernel_command_line: (nullable): kernel command line that it has, words joined by spaces
 * @declared_version: (nullable): layout version that it declares, as text
 * @has_descriptor: whether the layout descriptor's fields are in an object of their own
 */
typedef struct {
    CvdLayoutSpec *spec;
    char *vmm_path;
    char *kernel_command_line;
    char *declared_version;
    gboolean has_descriptor;
} CvdLayoutFile;

/**
 * cvd_layout_file_parse:
 * @root: the text's root
 * @origin: what problems start with: the file's path, or the JSON path of an inline object
 * @problems: (element-type utf8): each wrong type, unknown key or number that cannot be read is
 *   appended: `ORIGIN: JSON.PATH: what was found; what is allowed`
 *
 * Reads both forms of vsoc_mem.json: section 3 of the window's specification. Pure. After a problem
 * the rules of section 2 are looked at too, as far as they can be, so that all problems of a file
 * come out together.
 *
 * Returns: (transfer full) (nullable): what the file says, or %NULL after at least one problem
 */
CvdLayoutFile *cvd_layout_file_parse(JsonNode *root, const char *origin, GPtrArray *problems);
void cvd_layout_file_free(CvdLayoutFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLayoutFile, cvd_layout_file_free)

/**
 * cvd_layout_file_compute:
 * @file: a parsed file
 * @origin: as above
 * @min_window_size: `window.size` of cvd.json in bytes, or 0
 * @granule: %CVD_PAGE_SIZE or the size of the window's huge pages
 * @problems: (element-type utf8): every broken rule, with its JSON path
 *
 * Calls cvd_layout_new() and logs what section 3 asks for: a note when the declared version is not
 * 2.0, warnings of more than 190 regions a vCPU and of names that a guest's /dev has already.
 *
 * Returns: (transfer full) (nullable): the layout, or %NULL after at least one problem
 */
CvdLayout *cvd_layout_file_compute(const CvdLayoutFile *file, const char *origin,
                                   guint64 min_window_size, guint64 granule, guint n_vcpus,
                                   GPtrArray *problems);

G_END_DECLS
