/* SPDX-License-Identifier: Apache-2.0 */
/* The logs of an instance's host programs, and which programs have any. */
#include "ctl/ctl.h"

#include "base/complete.h"
#include "base/fd.h"
#include "base/instance.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

int cvd_ctl_open_programs(int dir_fd)
{
    return openat(dir_fd, CVD_INSTANCE_PROGRAMS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *cvd_ctl_list_program_logs(int programs_fd)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    cvd_autofd fd = openat(programs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = programs_fd >= 0 && fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (list == NULL)
        return names;
    fd = -1; /* it is the list's */
    while (names->len < CVD_CTL_MAX_PROGRAM_LOGS && (entry = readdir(list)) != NULL) {
        g_autofree char *program = cvd_instance_parse_log(entry->d_name);
        if (program != NULL)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    closedir(list);
    g_ptr_array_sort(names, compare_names);
    return names;
}

/* Returns: (element-type utf8): which of them have one */
static GPtrArray *list_programs(int programs_fd)
{
    g_autoptr(GPtrArray) files = cvd_ctl_list_program_logs(programs_fd);
    GPtrArray *programs = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < files->len; i++) {
        char *program = cvd_instance_parse_log(g_ptr_array_index(files, i));
        if (!g_ptr_array_find_with_equal_func(programs, program, g_str_equal, NULL))
            g_ptr_array_add(programs, program);
        else
            g_free(program);
    }
    return programs;
}

char *cvd_ctl_describe_missing_log(int programs_fd, const char *program)
{
    g_autoptr(GPtrArray) programs = list_programs(programs_fd);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *name = cvd_ctl_printable(program);

    g_string_printf(text, "there is no log of a program '%s'; ", name);
    for (guint i = 0; i < programs->len; i++)
        g_string_append_printf(text, "%s%s",
                               i == 0                   ? "there are logs of "
                               : i == programs->len - 1 ? " and "
                                                        : ", ",
                               (const char *)g_ptr_array_index(programs, i));
    if (programs->len == 0)
        g_string_append(text, "no program has printed anything");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

void cvd_ctl_complete_programs(CvdTool *tool, GPtrArray *words)
{
    g_autofree char *name = NULL;
    g_autofree char *dir = cvd_ctl_find_dir(tool, &name, NULL);
    cvd_autofd dir_fd = dir != NULL ? cvd_ctl_open_dir(dir, NULL) : -1;
    cvd_autofd programs_fd = dir_fd >= 0 ? cvd_ctl_open_programs(dir_fd) : -1;
    g_autoptr(GPtrArray) programs = list_programs(programs_fd);

    for (guint i = 0; i < programs->len; i++)
        cvd_complete_add(words, g_ptr_array_index(programs, i), NULL);
}
