/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/proc.h"

#include <string.h>

double proc_read_pss_kib(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", pid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *pss = strstr(text, "\nPss:");
    g_assert_nonnull(pss);
    return g_ascii_strtod(pss + strlen("\nPss:"), NULL);
}

guint64 proc_read_switches(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *task;
    guint64 sum = 0;

    while ((task = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(tasks, task, "status", NULL);
        g_autofree char *text = NULL;
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        for (const char *p = text; (p = strstr(p, "ctxt_switches:")) != NULL; p++)
            sum += g_ascii_strtoull(p + strlen("ctxt_switches:"), NULL, 10);
    }
    return sum;
}

guint proc_count_huge_pages(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &text,
                             NULL, NULL))
        return 0;
    return (guint)g_ascii_strtoull(text, NULL, 10);
}
