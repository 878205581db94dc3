/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/proc.h"

#include <string.h>

static char *read_file(pid_t pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, name);
    char *text;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* Returns: (nullable): what comes after "FIELD:" if the line begins so */
static const char *find_value(const char *line, const char *field)
{
    gsize length = strlen(field);

    return strncmp(line, field, length) == 0 && line[length] == ':' ? line + length + 1 : NULL;
}

double proc_read_rollup_kib(pid_t pid, const char *field)
{
    g_autofree char *text = read_file(pid, "smaps_rollup");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line != NULL; line++)
        if (find_value(*line, field) != NULL)
            return g_ascii_strtod(find_value(*line, field), NULL);
    g_error("smaps_rollup has no %s", field);
}

double proc_read_pss_kib(pid_t pid)
{
    return proc_read_rollup_kib(pid, "Pss");
}

double proc_read_file_kib(pid_t pid, const char *suffix, const char *field)
{
    g_autofree char *text = read_file(pid, "smaps");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    gboolean is_file = FALSE;
    double sum = 0;

    for (char **line = lines; *line != NULL; line++) {
        if (g_ascii_isxdigit(**line) && strchr(*line, '-') != NULL)
            is_file = g_str_has_suffix(*line, suffix);
        if (is_file && find_value(*line, field) != NULL)
            sum += g_ascii_strtod(find_value(*line, field), NULL);
    }
    return sum;
}

/* Calls @add for each thread with a file of its directory. */
static void read_threads(pid_t pid, const char *name, void (*add)(const char *text, guint64 *sum),
                         guint64 *sum)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *task;

    while ((task = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(tasks, task, name, NULL);
        g_autofree char *text = NULL;
        if (g_file_get_contents(path, &text, NULL, NULL)) /* one that ends now has none */
            add(text, sum);
    }
}

static void add_switches(const char *text, guint64 *sum)
{
    for (const char *p = text; (p = strstr(p, "ctxt_switches:")) != NULL; p++)
        *sum += g_ascii_strtoull(p + strlen("ctxt_switches:"), NULL, 10);
}

static void add_cpu_ns(const char *text, guint64 *sum)
{
    *sum += g_ascii_strtoull(text, NULL, 10);
}

guint64 proc_read_switches(pid_t pid)
{
    guint64 sum = 0;

    read_threads(pid, "status", add_switches, &sum);
    return sum;
}

double proc_read_cpu_ms(pid_t pid)
{
    guint64 sum = 0;

    read_threads(pid, "schedstat", add_cpu_ns, &sum);
    return (double)sum / 1e6;
}

guint proc_count_huge_pages(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &text,
                             NULL, NULL))
        return 0;
    return (guint)g_ascii_strtoull(text, NULL, 10);
}
