/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.json, without its digest: what is accepted can be written, and is then the same. */
#include "base/snapshot-format.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    return 0;
}

static void check(const CvdSnapshotInfo *info, GPtrArray *files)
{
    g_autofree char *text = cvd_snapshot_format(info, files);
    g_autoptr(GPtrArray) files_again = NULL;
    g_autoptr(CvdSnapshotInfo) again = cvd_snapshot_parse(text, strlen(text), &files_again, NULL);

    if (again == NULL)
        abort();
    g_autofree char *text_again = cvd_snapshot_format(again, files_again);
    if (strcmp(text, text_again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autofree char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, size);
    g_autoptr(GString) text = g_string_new_len((const char *)data, (gssize)size);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) error = NULL;

    g_string_append(text, digest);
    g_string_append(text, CVD_SNAPSHOT_DIGEST_END);
    g_autoptr(CvdSnapshotInfo) info = cvd_snapshot_parse(text->str, text->len, &files, &error);
    if (info != NULL)
        check(info, files);
    else if (error == NULL)
        abort(); /* refused, and no word why */
    return 0;
}
