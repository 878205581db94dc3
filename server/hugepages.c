/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hugepages.h"

#include "base/error.h"

#include <string.h>

#define HUGEPAGES_DIRECTORY "/sys/kernel/mm/hugepages"

static guint64 read_hugepage_number(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    return g_ascii_strtoull(text, NULL, 10);
}

static gboolean is_default_hugepage_size(guint64 size_kb)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return FALSE;
    const char *line = strstr(text, "Hugepagesize:");
    return line != NULL && g_ascii_strtoull(line + strlen("Hugepagesize:"), NULL, 10) == size_kb;
}

void cvd_hugepages_set_error(guint64 page_size, guint64 window_size, GError **error)
{
    guint64 size_kb = page_size / 1024;
    g_autofree char *directory = g_strdup_printf(HUGEPAGES_DIRECTORY "/hugepages-%jukB", size_kb);

    if (!g_file_test(directory, G_FILE_TEST_IS_DIR)) {
        g_set_error(
            error, CVD_ERROR, CVD_ERROR_RESOURCES,
            "window.hugepages: this kernel has no huge pages of %ju kB (see " HUGEPAGES_DIRECTORY
            "); choose another size or none",
            size_kb);
        return;
    }
    guint64 n_needed = window_size / page_size;
    guint64 n_total = read_hugepage_number(directory, "nr_hugepages");
    guint64 n_free = read_hugepage_number(directory, "free_hugepages");
    guint64 n_reserved = read_hugepage_number(directory, "resv_hugepages");
    n_free -= MIN(n_free, n_reserved);
    guint64 n_wanted = n_total - MIN(n_total, n_free) + n_needed;
    g_autofree char *sysctl = is_default_hugepage_size(size_kb)
                                  ? g_strdup_printf("sysctl -w vm.nr_hugepages=%ju, or ", n_wanted)
                                  : g_strdup("");
    g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                "window.hugepages: %ju huge pages of %ju kB are needed, %ju are free; reserve "
                "more: %swrite %ju to %s/nr_hugepages",
                n_needed, size_kb, n_free, sysctl, n_wanted, directory);
}
