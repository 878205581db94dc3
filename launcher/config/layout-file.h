/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"
#include "server/layout.h"

G_BEGIN_DECLS

/** cvd_layout_keys: all keys of vsoc_mem.json, of both forms */
extern const CvdKey cvd_layout_keys[];

/**
 * CvdLayoutFile:
 * @root: the text's root; tells which values come from an option
 * @spec: the regions as written; rules are not checked yet
 * @vmm_path: (nullable): emulator that a file of 2017 names: a bare name or an absolute path
 * @kernel_command_line: (nullable): kernel command line that it has, words joined by spaces
 * @declared_version: (nullable): layout version that it declares, as text
 */
typedef struct {
    JsonNode *root;
    CvdLayoutSpec *spec;
    char *vmm_path;
    char *kernel_command_line;
    char *declared_version;
} CvdLayoutFile;

/**
 * cvd_layout_file_parse:
 * @place: where the layout's object stands; each wrong type, unknown key or number that cannot be
 *   read becomes a problem of its reader
 * @root: the object
 *
 * Reads both forms of vsoc_mem.json: docs/window.md, Layout files. Pure. After a problem
 * the rules are looked at too, as far as they can be, so that all problems of a file
 * come out together.
 *
 * Returns: (transfer full) (nullable): what the file says, or %NULL after at least one problem
 */
CvdLayoutFile *cvd_layout_file_parse(const CvdPlace *place, JsonNode *root);
void cvd_layout_file_free(CvdLayoutFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLayoutFile, cvd_layout_file_free)

/**
 * cvd_layout_file_compute:
 * @file: a parsed file
 * @place: as above; every broken rule becomes a problem
 * @min_window_size: `window.size` of cvd.json in bytes, or 0
 * @granule: %CVD_PAGE_SIZE or the size of the window's huge pages
 *
 * Calls cvd_layout_new(). Pure.
 *
 * Returns: (transfer full) (nullable): the layout, or %NULL after at least one problem
 */
CvdLayout *cvd_layout_file_compute(const CvdLayoutFile *file, const CvdPlace *place,
                                   guint64 min_window_size, guint64 granule);

/**
 * cvd_layout_file_advise:
 * @place: where @file's object stands
 * @layout: what was computed from @file
 * @n_vcpus: of the guest
 *
 * Logs what docs/window.md, Layout files asks for: a note when the declared version is
 * not 2.0, warnings of more than 190 regions a vCPU and of names that a guest's /dev has already.
 */
void cvd_layout_file_advise(const CvdLayoutFile *file, const CvdPlace *place,
                            const CvdLayout *layout, guint n_vcpus);

G_END_DECLS
