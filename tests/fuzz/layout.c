/* SPDX-License-Identifier: Apache-2.0 */
/* A layout file: one that is accepted keeps the rules of the window's specification. */
#include "base/json.h"
#include "launcher/config/layout-file.h"
#include "launcher/config/layout-print.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    return 0;
}

static void check(const CvdLayout *layout)
{
    if (layout->n_regions < 1 || layout->n_regions > 2048 ||
        (layout->window_size & (layout->window_size - 1)) != 0)
        abort();
    for (guint i = 0; i < layout->n_regions; i++) {
        const CvdLayoutRegion *a = &layout->regions[i];
        if (a->begin % 4096 != 0 || a->end % 4096 != 0 || a->begin >= a->end || a->begin < 16 ||
            a->end > layout->window_size)
            abort();
        for (guint k = 0; k < i && layout->n_regions < 64; k++) {
            const CvdLayoutRegion *b = &layout->regions[k];
            if (a->begin < b->end && b->begin < a->end)
                abort();
        }
    }
    g_free(cvd_layout_to_text(layout));
    g_free(cvd_layout_to_c_header(layout));
    g_free(cvd_layout_to_json(layout));
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) overrides = g_hash_table_new(NULL, NULL);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(1024);
    CvdReader reader = {.problems = problems, .overrides = overrides, .paths = paths, .cwd = "/"};
    CvdPlace place = {&reader, "layout.json", "/", "", 0};
    g_autoptr(JsonNode) root = cvd_json_parse((const char *)data, size, NULL, NULL);

    if (root == NULL)
        return 0;
    g_autoptr(CvdLayoutFile) file = cvd_layout_file_parse(&place, root);
    if (file == NULL)
        return 0;
    g_autoptr(CvdLayout) layout = cvd_layout_file_compute(file, &place, 0, 4096);
    if (layout != NULL)
        check(layout);
    else if (problems->len == 0)
        abort(); /* refused, and no word why */
    return 0;
}
