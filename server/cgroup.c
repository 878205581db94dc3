/* SPDX-License-Identifier: Apache-2.0 */
/* See cgroups(7), and in the kernel's documentation cgroup-v2 and cgroup-v1/memory. */
#include "server/cgroup.h"

#include <string.h>

typedef struct {
    const char *mount;
    const char *limit;
    const char *usage;
    const char *reclaimable; /* in memory.stat */
} Version;

static const Version v1 = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                           "total_inactive_file "};
static const Version v2 = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

/* Returns: whether there is a number; @limit may also be the word `max` */
static gboolean read_number(const char *dir, const char *file, const char *after, guint64 *number)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    const char *begin = after != NULL ? strstr(text, after) : text;
    if (begin == NULL)
        return FALSE;
    begin += after != NULL ? strlen(after) : 0;
    *number = g_ascii_strtoull(begin, NULL, 10);
    return g_ascii_isdigit(*begin);
}

static guint64 get_free_of(const Version *version, const char *dir)
{
    guint64 limit, usage, reclaimable = 0;

    if (!read_number(dir, version->limit, NULL, &limit) ||
        !read_number(dir, version->usage, NULL, &usage))
        return G_MAXUINT64;
    read_number(dir, "memory.stat", version->reclaimable, &reclaimable);
    usage -= MIN(usage, reclaimable);
    return limit - MIN(limit, usage);
}

/* The path of the group in a line `ID:CONTROLLERS:PATH`, of the version that has the memory. */
static const char *find_group(char **lines, const Version **version)
{
    const char *path = NULL;

    for (char **line = lines; *line != NULL; line++) {
        char *controllers = strchr(*line, ':');
        char *end = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (end == NULL)
            continue;
        *end = '\0';
        g_auto(GStrv) names = g_strsplit(controllers + 1, ",", -1);
        if (g_strv_contains((const char *const *)names, "memory")) {
            *version = &v1;
            return end + 1;
        }
        if (*names == NULL) {
            *version = &v2;
            path = end + 1;
        }
    }
    return path;
}

guint64 cvd_cgroup_get_free_memory(const char *root, char **limit_file)
{
    g_autofree char *file = g_build_filename(root != NULL ? root : "/", "proc/self/cgroup", NULL);
    g_autofree char *text = NULL;
    const Version *version = NULL;
    guint64 least = G_MAXUINT64;

    *limit_file = NULL;
    if (!g_file_get_contents(file, &text, NULL, NULL))
        return least;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *path = find_group(lines, &version);
    if (path == NULL)
        return least;
    /* The last one is the root, which in a container has limits as well. */
    g_autofree char *mount = g_build_filename(root != NULL ? root : "/", version->mount, NULL);
    g_autofree char *dir = g_build_filename(mount, path, NULL);
    while (g_str_has_prefix(dir, mount)) {
        guint64 n_free = get_free_of(version, dir);
        if (n_free < least) {
            least = n_free;
            g_free(*limit_file);
            *limit_file = g_build_filename(dir, version->limit, NULL);
        }
        char *parent = g_path_get_dirname(dir);
        g_free(dir);
        dir = parent;
    }
    return least;
}
