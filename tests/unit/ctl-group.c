/* SPDX-License-Identifier: Apache-2.0 */
/* Whose machines --group means, where several users have some of that name. */
#include "ctl/ctl.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define N_USERS 3 /* the first is this one */

/* Where the instances of each are. */
typedef struct {
    char *places[N_USERS];
    uid_t uids[N_USERS];
    char *runtime;
} Users;

static void set_up(Users *users)
{
    users->runtime = g_dir_make_tmp("unit-XXXXXX", NULL);
    g_setenv("XDG_RUNTIME_DIR", users->runtime, TRUE);
    g_unsetenv("CVD_RUNTIME_DIR");
    for (guint i = 0; i < N_USERS; i++) {
        uid_t uid = users->uids[i] = i == 0 ? geteuid() : 1000000 + (uid_t)getpid() + i;
        users->places[i] = i == 0 ? g_build_filename(users->runtime, "cvd", NULL)
                                  : g_strdup_printf("/tmp/cvd-%u", uid);
        g_assert_no_errno(g_mkdir(users->places[i], 0700));
        g_assert_no_errno(chown(users->places[i], uid, uid));
    }
}

/* @names: with spaces between them; @make: makes instances that have failed; else removes them */
static void change(const Users *users, guint user, const char *names, gboolean make)
{
    g_auto(GStrv) all = g_strsplit(names, " ", -1);

    for (char **name = all; *name != NULL; name++) {
        g_autofree char *dir = g_build_filename(users->places[user], *name, NULL);
        g_autofree char *record = g_build_filename(dir, "failure.json", NULL);
        if (make) {
            g_assert_no_errno(g_mkdir(dir, 0700));
            g_assert_no_errno(chown(dir, users->uids[user], users->uids[user]));
            g_assert_true(g_file_set_contents(record, "{}", -1, NULL));
        } else {
            g_unlink(record);
            g_rmdir(dir);
        }
    }
}

static void tear_down(Users *users)
{
    for (guint i = 0; i < N_USERS; i++) {
        g_assert_no_errno(g_rmdir(users->places[i]));
        g_free(users->places[i]);
    }
    g_assert_no_errno(g_rmdir(users->runtime));
    g_free(users->runtime);
}

/* Returns: (transfer full): which there are of the group p, or the error's message */
static char *list(const Users *users)
{
    const CvdTool tool = {.group = (char *)"p"};
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    guint n_running = 1;
    g_autoptr(GPtrArray) dirs = cvd_ctl_list_group(&tool, &n_running, &error);

    if (dirs == NULL)
        return g_strdup(error->message);
    g_assert_cmpuint(n_running, ==, 0);
    for (guint i = 0; i < dirs->len; i++)
        for (guint k = 0; k < N_USERS; k++)
            if (g_str_has_prefix(dirs->pdata[i], users->places[k]))
                g_string_append_printf(text, "%s%u%s", i > 0 ? " " : "", k,
                                       strrchr(dirs->pdata[i], '/'));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void test_users(void)
{
    static const struct {
        const char *names[N_USERS];
        const char *expected;
    } rows[] = {
        {{"p-10 p-9 q-1 p", "", ""}, "0/p-9 0/p-10"},
        {{"p-1", "p-1 p-2", "p-3"}, "0/p-1"},
        {{"q-1", "p-10 p-9", "q-1"}, "1/p-9 1/p-10"},
        {{"", "p-1", "p-2"}, " have a group 'p' each; choose with CVD_RUNTIME_DIR"},
        {{"pp-1", "pp-1", ""}, "group 'p' has no machine; did you mean 'pp'?"},
    };
    Users users;

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    set_up(&users);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (guint k = 0; k < N_USERS; k++)
            if (*rows[i].names[k] != '\0')
                change(&users, k, rows[i].names[k], TRUE);
        g_autofree char *found = list(&users);
        for (guint k = 0; k < N_USERS; k++)
            if (*rows[i].names[k] != '\0')
                change(&users, k, rows[i].names[k], FALSE);
        if (strstr(found, rows[i].expected) == NULL)
            g_error("\"%s\" is not \"%s\"", found, rows[i].expected);
    }
    tear_down(&users);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-group/users", test_users);
    return g_test_run();
}
