/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/executable.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *make_absolute(const char *path)
{
    if (g_path_is_absolute(path))
        return g_strdup(path);
    g_autofree char *cwd = g_get_current_dir();
    return g_build_filename(cwd, path, NULL);
}

char *cvd_executable_find(const char *name, char **why)
{
    g_autofree char *path = strchr(name, '/') ? g_strdup(name) : g_find_program_in_path(name);
    struct stat info;

    if (!path)
        *why = g_strdup_printf("%s is not in PATH", name);
    else if (stat(path, &info) < 0)
        *why = g_strdup_printf("%s: %s", path, g_strerror(errno));
    else if (!S_ISREG(info.st_mode))
        *why = g_strdup_printf("%s: is not a file", path);
    else if (access(path, X_OK) < 0)
        *why = g_strdup_printf("%s: is not executable (chmod +x makes it so)", path);
    else
        return make_absolute(path);
    return NULL;
}
