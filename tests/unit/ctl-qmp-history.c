/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of the lines typed at a prompt, and what a file of it may hold. */
#include "ctl/qmp.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *dir;
    char *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("unit-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "state", "cvd", "history", NULL);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *parent = g_path_get_dirname(f->path);
    g_autofree char *state = g_path_get_dirname(parent);

    g_unlink(f->path);
    g_rmdir(parent);
    g_rmdir(state);
    g_assert_no_errno(g_rmdir(f->dir));
    g_free(f->path);
    g_free(f->dir);
}

static void append(Fixture *f, const char *line)
{
    g_autoptr(GError) error = NULL;

    cvd_ctl_qmp_history_append(f->path, line, &error);
    g_assert_no_error(error);
}

static gsize get_size(const char *path)
{
    struct stat st;

    g_assert_no_errno(g_stat(path, &st));
    return (gsize)st.st_size;
}

static void test_what_is_kept(void)
{
    g_autofree char *longest = g_strnfill(CVD_CTL_QMP_MAX_HISTORY_LINE, 'x');
    g_autofree char *longer = g_strnfill(CVD_CTL_QMP_MAX_HISTORY_LINE + 1, 'x');
    const char *const kept[] = {"stop", "qom-get path=/ property=type", "größer", longest};
    const char *const not_kept[] = {
        "",
        " stop",
        "set_password protocol=vnc password=x",
        "change-vnc-password password=x",
        "human-monitor-command command-line='change vnc Password x'",
        "object-add qom-type=Secret id=s data=x",
        "a passwd=x",
        "a\nb",
        "a\rb",
        "a\033[31m",
        "a\302\233",
        "\xff",
        longer,
    };

    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++)
        g_assert_true(cvd_ctl_qmp_history_may_keep(kept[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(not_kept); i++)
        g_assert_false(cvd_ctl_qmp_history_may_keep(not_kept[i]));
}

static void test_append_and_load(Fixture *f, gconstpointer data)
{
    struct stat st;

    append(f, "a");
    append(f, "b c");
    g_assert_no_errno(g_stat(f->path, &st));
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(f->path);
    g_assert_cmpuint(g_strv_length(lines), ==, 2);
    g_assert_cmpstr(lines[0], ==, "a");
    g_assert_cmpstr(lines[1], ==, "b c");
}

static void test_none(Fixture *f, gconstpointer data)
{
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(f->path);

    g_assert_cmpuint(g_strv_length(lines), ==, 0);
}

/* As many as there may be are left alone; of more, the last are kept, in the file too. */
static void test_many(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 2 * CVD_CTL_QMP_MAX_HISTORY - 1; i++)
        append(f, "abc");
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(f->path);
    g_assert_cmpuint(g_strv_length(lines), ==, CVD_CTL_QMP_MAX_HISTORY);
    g_assert_cmpuint(get_size(f->path), ==, (2 * CVD_CTL_QMP_MAX_HISTORY - 1) * strlen("abc\n"));
    append(f, "def");
    g_auto(GStrv) cut = cvd_ctl_qmp_history_load(f->path);
    g_assert_cmpuint(g_strv_length(cut), ==, CVD_CTL_QMP_MAX_HISTORY);
    g_assert_cmpstr(cut[CVD_CTL_QMP_MAX_HISTORY - 1], ==, "def");
    g_assert_cmpuint(get_size(f->path), ==, CVD_CTL_QMP_MAX_HISTORY * strlen("abc\n"));
    struct stat st;
    g_assert_no_errno(g_stat(f->path, &st));
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
}

/* Somebody else has written it: its end is read, and what is no line of ours is left out. */
static void test_of_somebody_else(Fixture *f, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(10 * 1024 * 1024, 'x');
    g_autofree char *text = g_strconcat(filler, "\na\n\xff\n\033[31m\nset_password\nb", NULL);

    append(f, "");
    g_assert_true(g_file_set_contents(f->path, text, -1, NULL));
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(f->path);
    g_assert_cmpuint(g_strv_length(lines), ==, 2);
    g_assert_cmpstr(lines[0], ==, "a");
    g_assert_cmpstr(lines[1], ==, "b");
    g_assert_cmpuint(get_size(f->path), ==, strlen("a\nb\n"));
}

static void test_no_file(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *target = g_build_filename(f->dir, "target", NULL);

    append(f, "a");
    g_assert_no_errno(g_unlink(f->path));
    g_assert_no_errno(symlink(target, f->path));
    g_assert_false(cvd_ctl_qmp_history_append(f->path, "b", &error));
    g_assert_nonnull(strstr(error->message, f->path));
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
    g_auto(GStrv) lines = cvd_ctl_qmp_history_load(f->path);
    g_assert_cmpuint(g_strv_length(lines), ==, 0);
    g_clear_error(&error);
    g_assert_no_errno(g_unlink(f->path));
    g_assert_no_errno(mkfifo(f->path, 0600));
    g_assert_false(cvd_ctl_qmp_history_append(f->path, "b", &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/ctl-qmp-history/append-and-load", test_append_and_load},
        {"/ctl-qmp-history/none", test_none},
        {"/ctl-qmp-history/1000-lines-and-one-more", test_many},
        {"/ctl-qmp-history/of-somebody-else", test_of_somebody_else},
        {"/ctl-qmp-history/no-file", test_no_file},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-qmp-history/what-is-kept", test_what_is_kept);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    return g_test_run();
}
