/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/executable.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
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

/* Without it, a start only says that there is no such file. Returns: (transfer full) (nullable):
 * the program that a script is for, if it cannot be run */
static char *find_missing_interpreter(const char *path)
{
    char start[256] = {0};
    cvd_autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    gssize size = fd < 0 ? -1 : TEMP_FAILURE_RETRY(read(fd, start, sizeof start - 1));

    if (size < 2 || start[0] != '#' || start[1] != '!')
        return NULL;
    const char *name = start + 2 + strspn(start + 2, " \t");
    g_autofree char *interpreter = g_strndup(name, strcspn(name, " \t\n"));
    return access(interpreter, X_OK) < 0 ? g_steal_pointer(&interpreter) : NULL;
}

char *cvd_executable_find(const char *name, char **why)
{
    g_autofree char *path = strchr(name, '/') ? g_strdup(name) : g_find_program_in_path(name);
    g_autofree char *interpreter = NULL;
    struct stat info;

    if (!path)
        *why = g_strdup_printf("%s is not in PATH", name);
    else if (stat(path, &info) < 0)
        *why = g_strdup_printf("%s: %s", path, g_strerror(errno));
    else if (!S_ISREG(info.st_mode))
        *why = g_strdup_printf("%s: is not a file", path);
    else if (access(path, X_OK) < 0)
        *why = g_strdup_printf("%s: is not executable (chmod +x makes it so)", path);
    else if ((interpreter = find_missing_interpreter(path)))
        *why = g_strdup_printf("%s: is for %s, which is not there", path, interpreter);
    else
        return make_absolute(path);
    return NULL;
}
