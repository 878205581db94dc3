/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config-files.h"

#include <glib/gstdio.h>
#include <string.h>

void write_file(const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_file_set_contents(name, text, -1, &error);
    g_assert_no_error(error);
}

void files_set_up(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *made = g_dir_make_tmp("cvd-config-XXXXXX", &error);
    g_assert_no_error(error);
    files->old_directory = g_get_current_dir();
    g_assert_cmpint(g_chdir(made), ==, 0);
    files->directory = g_get_current_dir(); /* without symbolic links */
    files->problems = g_ptr_array_new_with_free_func(g_free);
    g_assert_cmpint(g_mkdir("conf", 0700), ==, 0);
    write_file("conf/cvd.json", "{\"layout\": \"layout.json\", \"qemu\": \"qemu.json\"}");
    write_file("conf/qemu.json", "{}");
    write_file("conf/layout.json", LAYOUT);
}

void remove_tree(const char *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            remove_tree(path);
        else
            g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

void files_tear_down(Files *files, gconstpointer data)
{
    g_assert_cmpint(g_chdir(files->old_directory), ==, 0);
    remove_tree(files->directory);
    g_free(files->old_directory);
    g_free(files->directory);
    g_ptr_array_unref(files->problems);
}

CvdConfig *load(Files *files, const char *const *overrides)
{
    g_ptr_array_set_size(files->problems, 0);
    const CvdConfigSource source = {.path = "conf/cvd.json", .overrides = overrides};
    CvdConfig *config = cvd_config_load(&source, files->problems);
    g_assert_true((config == NULL) == (files->problems->len > 0));
    return config;
}

CvdConfig *load_good(Files *files, const char *const *overrides)
{
    CvdConfig *config = load(files, overrides);
    if (!config)
        g_error("%s", (char *)files->problems->pdata[0]);
    return config;
}

void assert_problem(Files *files, guint i, const char *part)
{
    g_assert_cmpuint(files->problems->len, >, i);
    const char *problem = files->problems->pdata[i];
    if (!strstr(problem, part))
        g_error("\"%s\" does not contain \"%s\"", problem, part);
}

/* Exactly one. */
void assert_bad(Files *files, const char *const *overrides, const char *part)
{
    g_assert_null(load(files, overrides));
    assert_problem(files, 0, part);
    g_assert_cmpuint(files->problems->len, ==, 1);
}
