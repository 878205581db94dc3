/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/log-dir.h"

#include <glib/gstdio.h>

void test_log_dir_open(TestLogDir *logs)
{
    g_autoptr(GError) error = NULL;

    logs->runtime = g_dir_make_tmp("cvd-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("XDG_RUNTIME_DIR", logs->runtime, TRUE);
    logs->dir = cvd_instance_dir_acquire("log", &error);
    g_assert_no_error(error);
}

void test_log_dir_close(TestLogDir *logs)
{
    cvd_instance_dir_release(logs->dir, FALSE);
    g_assert_no_errno(g_rmdir(logs->runtime));
    g_free(logs->runtime);
}

GBytes *test_log_dir_read(const TestLogDir *logs, const char *name)
{
    g_autofree char *path = g_build_filename(cvd_instance_dir_get_path(logs->dir), name, NULL);
    char *content;
    gsize size;

    return g_file_get_contents(path, &content, &size, NULL) ? g_bytes_new_take(content, size)
                                                            : NULL;
}
