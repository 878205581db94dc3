/* SPDX-License-Identifier: Apache-2.0 */
/* Which instance a program means that names one, or none. */
#include "base/instance.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/lock-file.h"
#include "tests/unit/child.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_INSTANCES   20
#define MAX_CONNECTIONS 100 /* nobody accepts them */

typedef enum {
    LEFTOVER, /* its launcher has crashed */
    FAILED,
    RUNNING,
} State;

/* A runtime directory of the test's own. */
typedef struct {
    char *dir;
    GPtrArray *files;
    int sockets[MAX_INSTANCES];
    guint n_sockets;
} Runtime;

static Runtime *runtime_new(void)
{
    Runtime *runtime = g_new0(Runtime, 1);

    runtime->dir = g_dir_make_tmp("unit-XXXXXX", NULL);
    runtime->files = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(runtime->files, g_build_filename(runtime->dir, "cvd", NULL));
    g_setenv("CVD_RUNTIME_DIR", g_ptr_array_index(runtime->files, 0), TRUE);
    g_assert_cmpint(g_mkdir(g_ptr_array_index(runtime->files, 0), 0700), ==, 0);
    return runtime;
}

/* Where else instances may be counts, too. */
static Runtime *runtime_new_beside_others(void)
{
    Runtime *runtime = runtime_new();

    g_unsetenv("CVD_RUNTIME_DIR");
    g_setenv("XDG_RUNTIME_DIR", runtime->dir, TRUE);
    return runtime;
}

static int bind_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void add_at(Runtime *runtime, const char *place, const char *name, State state)
{
    char *dir = g_build_filename(place, name, NULL);
    char *control = g_build_filename(dir, "control.sock", NULL);
    char *socket = g_build_filename(dir, "vm.sock", NULL);

    g_assert_cmpuint(runtime->n_sockets, <, MAX_INSTANCES);
    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    int unused = bind_socket(socket);
    cvd_close_fd(&unused);
    int fd = bind_socket(control);
    if (state == RUNNING)
        g_assert_no_errno(listen(fd, 1));
    runtime->sockets[runtime->n_sockets++] = fd;
    g_ptr_array_add(runtime->files, dir);
    g_ptr_array_add(runtime->files, control);
    g_ptr_array_add(runtime->files, socket);
    if (state == FAILED) {
        char *record = g_build_filename(dir, "failure.json", NULL);
        g_assert_true(g_file_set_contents(record, "{}", -1, NULL));
        g_ptr_array_add(runtime->files, record);
    }
}

/* @file: (nullable): in the instance's directory; @target: what that is a link to */
static void add_link(Runtime *runtime, const char *name, const char *file, const char *target)
{
    char *dir = g_build_filename(g_ptr_array_index(runtime->files, 0), name, NULL);

    if (file != NULL && g_mkdir(dir, 0700) == 0)
        g_ptr_array_add(runtime->files, g_strdup(dir));
    char *link = g_build_filename(dir, file, NULL);
    g_free(dir);
    g_assert_no_errno(symlink(target, link));
    g_ptr_array_add(runtime->files, link);
}

static void add(Runtime *runtime, const char *name, State state)
{
    add_at(runtime, g_ptr_array_index(runtime->files, 0), name, state);
}

static void runtime_free(Runtime *runtime)
{
    for (guint i = 0; i < runtime->n_sockets; i++)
        cvd_close_fd(&runtime->sockets[i]);
    for (guint i = runtime->files->len; i > 0; i--)
        g_remove(g_ptr_array_index(runtime->files, i - 1));
    g_ptr_array_unref(runtime->files);
    g_rmdir(runtime->dir);
    g_free(runtime->dir);
    g_free(runtime);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Runtime, runtime_free)

static void assert_found(const Runtime *runtime, const char *name, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = cvd_instance_find_socket(name, "vm.sock", &error);
    g_autofree char *wanted = g_build_filename(runtime->dir, "cvd", expected, "vm.sock", NULL);

    g_assert_no_error(error);
    g_assert_cmpstr(path, ==, wanted);
}

static void assert_not_found(const char *name, const char *file, int code, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_instance_find_socket(name, file, &error));
    g_assert_error(error, CVD_ERROR, code);
    if (strstr(error->message, text) == NULL)
        g_error("'%s' does not have '%s'", error->message, text);
}

static void assert_listed(CvdInstances which, const char *expected)
{
    g_autoptr(GPtrArray) dirs = cvd_instance_list(which, NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < dirs->len; i++) {
        g_autofree char *place = g_path_get_dirname(g_ptr_array_index(dirs, i));
        if (g_str_has_prefix(place, g_get_tmp_dir()))
            g_string_append_printf(text, "%s%s ", g_str_has_suffix(place, "/cvd") ? "" : "second/",
                                   strrchr(g_ptr_array_index(dirs, i), '/') + 1);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

/* Whatever a login shell, a unit or cron has set, there is one list, which each looks through. */
static void test_places(void)
{
    g_autofree char *per_user = g_strdup_printf("/tmp/cvd-%u", geteuid());
    g_autofree char *own = g_dir_make_tmp("unit-XXXXXX", NULL);
    g_autofree char *own_place = g_build_filename(own, "cvd", NULL);
    const char *first_without = geteuid() == 0 ? "/run/cvd" : NULL;

    g_unsetenv("CVD_RUNTIME_DIR");
    g_setenv("XDG_RUNTIME_DIR", own, TRUE);
    g_auto(GStrv) with = cvd_instance_get_places();
    g_assert_cmpstr(with[0], ==, own_place);
    g_assert_true(g_strv_contains((const char *const *)with, per_user));
    g_unsetenv("XDG_RUNTIME_DIR");
    g_auto(GStrv) without = cvd_instance_get_places();
    g_assert_true(g_strv_equal((const char *const *)without, (const char *const *)with + 1));
    if (first_without != NULL)
        g_assert_cmpstr(without[0], ==, first_without);
    g_setenv("CVD_RUNTIME_DIR", own, TRUE);
    g_auto(GStrv) only = cvd_instance_get_places();
    g_assert_cmpstr(only[0], ==, own);
    g_assert_null(only[1]);
    g_rmdir(own);
}

/* `sudo -E` keeps the variable of a user who could change what is in there. */
static void test_runtime_dir_of_another(void)
{
    g_autofree char *dir = g_dir_make_tmp("unit-XXXXXX", NULL);

    if (geteuid() != 0) {
        g_test_skip("needs root, to give a directory away");
        return;
    }
    g_assert_cmpint(chown(dir, 65534, 65534), ==, 0);
    g_unsetenv("CVD_RUNTIME_DIR");
    g_setenv("XDG_RUNTIME_DIR", dir, TRUE);
    g_autofree char *base = cvd_instance_base_path();
    g_assert_cmpstr(base, ==, "/run/cvd");
    g_rmdir(dir);
}

static void test_none(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    assert_not_found(NULL, "vm.sock", CVD_ERROR_CLOSED, runtime->dir);
    assert_not_found("a", "vm.sock", CVD_ERROR_CLOSED, "'a' does not run");
    g_setenv("CVD_RUNTIME_DIR", "/nonexistent/cvd", TRUE);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_CLOSED, "(looked in /nonexistent/cvd)");
}

static void test_the_only_one(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "one", RUNNING);
    assert_found(runtime, NULL, "one");
    assert_found(runtime, "one", "one");
    assert_not_found("two", "vm.sock", CVD_ERROR_CLOSED, "'two' does not run");
}

static void test_leftovers_do_not_count(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "crashed", LEFTOVER);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_CLOSED, "no instance runs");
    assert_not_found("crashed", "vm.sock", CVD_ERROR_CLOSED, "does not run");
    add(runtime, "one", RUNNING);
    assert_found(runtime, NULL, "one");
}

/* Before its launcher listens its directory is locked, which means nothing if others may do so. */
static void test_held(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    g_autofree char *leftover = g_build_filename(runtime->dir, "cvd", "crashed", NULL);
    g_autofree char *running = g_build_filename(runtime->dir, "cvd", "one", NULL);

    g_assert_false(cvd_instance_is_held(leftover));
    add(runtime, "crashed", LEFTOVER);
    add(runtime, "one", RUNNING);
    g_assert_true(cvd_instance_is_held(running));
    g_assert_false(cvd_instance_is_held(leftover));
    int fd = open(leftover, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_no_errno(flock(fd, LOCK_EX | LOCK_NB));
    g_assert_true(cvd_instance_is_held(leftover));
    g_assert_no_errno(fchmod(fd, 0755));
    g_assert_false(cvd_instance_is_held(leftover));
    close(fd);
}

static void test_several(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "two", RUNNING);
    add(runtime, "one", RUNNING);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_BUSY,
                     "2 instances run: one, two; choose with --name");
    assert_found(runtime, "two", "two");
}

/* 16 are named, the 17th is not. */
static void test_many(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    for (guint i = 10; i < 26; i++) {
        g_autofree char *name = g_strdup_printf("n%u", i);
        add(runtime, name, RUNNING);
    }
    assert_not_found(NULL, "vm.sock", CVD_ERROR_BUSY, "n24, n25;");
    add(runtime, "n26", RUNNING);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_BUSY, "n24, n25, …;");
}

static void test_socket_elsewhere(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "one", RUNNING);
    assert_not_found("one", "client.sock", CVD_ERROR_CLOSED, "give --socket");
}

/* Not a path into some other directory. */
/* Whoever owns the place can make any directory there. */
static void test_other_names(void)
{
    static const char *const names[] = {
        "\033[31mred", "line\nline", "a b", "-x", ".x", "ü", "n123456789012345678901234567890123",
    };
    g_autoptr(Runtime) runtime = runtime_new();

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        add(runtime, names[i], i % 2 == 0 ? RUNNING : FAILED);
        assert_not_found(names[i], "vm.sock", CVD_ERROR_INVALID, "no instance's name");
    }
    add(runtime, "n1234567890123456789012345678901", RUNNING);
    add(runtime, "0_.-", FAILED);
    assert_listed(CVD_INSTANCES_RUNNING, "n1234567890123456789012345678901 ");
    assert_listed(CVD_INSTANCES_FAILED, "0_.- ");
}

static void test_no_names(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    static const char *const names[] = {"", ".", "..", "../cvd/one", "a/b", "/"};

    add(runtime, "one", RUNNING);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        assert_not_found(names[i], "vm.sock", CVD_ERROR_INVALID, "no instance's name");
}

/* Not a path that changes with the working directory, nor a place where others may put something.
 */
static void test_bad_place(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    const char *place = g_ptr_array_index(runtime->files, 0);

    add(runtime, "one", RUNNING);
    g_assert_no_errno(g_chmod(place, 01700));
    assert_found(runtime, "one", "one");
    for (guint mode = 0710; mode >= 0701; mode -= 07) {
        g_assert_no_errno(g_chmod(place, (int)mode));
        assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, "with mode 0700");
    }
    g_setenv("CVD_RUNTIME_DIR", "relative/cvd", TRUE);
    assert_not_found("one", "vm.sock", CVD_ERROR_INVALID, "not an absolute path");
    g_setenv("CVD_RUNTIME_DIR", "", TRUE); /* as if it were not set */
    g_setenv("XDG_RUNTIME_DIR", runtime->dir, TRUE);
    g_auto(GStrv) places = cvd_instance_get_places();
    g_assert_cmpstr(places[0], ==, place);
}

/* A symbolic link is nobody's directory, whoever made it; root can also show another owner's. */
static void test_another_owner(void)
{
    g_autoptr(Runtime) runtime = runtime_new_beside_others();
    const char *base = g_ptr_array_index(runtime->files, 0);
    g_autofree char *real = g_strconcat(base, ".real", NULL);

    add(runtime, "one", RUNNING);
    g_assert_cmpint(g_rename(base, real), ==, 0);
    g_assert_cmpint(symlink(real, base), ==, 0);
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, "is not a directory of uid");
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, base);
    g_assert_cmpint(g_unlink(base), ==, 0);
    g_assert_cmpint(g_rename(real, base), ==, 0);
    if (geteuid() != 0)
        return;
    g_assert_cmpint(chown(base, 65534, 65534), ==, 0);
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, base);
}

/* In this order: names, then places. What has failed and runs again has not failed. */
static void test_list(void)
{
    g_autoptr(Runtime) runtime = runtime_new_beside_others();
    g_autofree char *second = g_strdup_printf("%s/cvd-%u", g_get_tmp_dir(), geteuid());

    g_ptr_array_add(runtime->files, g_strdup(second));
    g_assert_no_errno(g_mkdir(second, 0700));
    add_at(runtime, second, "b", RUNNING);
    add(runtime, "a", RUNNING);
    add(runtime, "c", FAILED);
    add(runtime, "d", LEFTOVER);
    assert_listed(CVD_INSTANCES_RUNNING, "a second/b ");
    assert_listed(CVD_INSTANCES_FAILED, "c ");
    add(runtime, "b", RUNNING);
    assert_not_found("b", "vm.sock", CVD_ERROR_BUSY, "choose with CVD_RUNTIME_DIR");
    g_setenv("CVD_RUNTIME_DIR", second, TRUE);
    assert_listed(CVD_INSTANCES_RUNNING, "second/b ");
}

/* The machines of a group by their numbers; the groups of those that run first. */
static void test_groups(void)
{
    static const char *const names[] = {"b-10", "b-9", "a", "b-x", "b-100", "a-1"};
    g_autoptr(Runtime) runtime = runtime_new();

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        add(runtime, names[i], i % 3 == 0 ? FAILED : RUNNING);
    add(runtime, "c-d-01", RUNNING);
    add(runtime, "c-d-0", FAILED);
    assert_listed(CVD_INSTANCES_RUNNING, "a a-1 b-9 b-100 c-d-01 ");
    assert_listed(CVD_INSTANCES_FAILED, "b-10 b-x c-d-0 ");
    g_auto(GStrv) groups = cvd_instance_list_groups();
    g_autofree char *all = g_strjoinv(" ", groups);
    g_assert_cmpstr(all, ==, "a b c-d");
}

static void assert_dir(const Runtime *runtime, const char *name)
{
    g_autofree char *dir = cvd_instance_get_dir(name, NULL);
    g_autofree char *expected = g_build_filename(runtime->dir, "cvd", name, NULL);

    g_assert_cmpstr(dir, ==, expected);
}

/* Where it runs, has failed, or would run. */
static void test_dir(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "runs", RUNNING);
    add(runtime, "failed", FAILED);
    assert_dir(runtime, "runs");
    assert_dir(runtime, "failed");
    assert_dir(runtime, "other");
    g_assert_null(cvd_instance_get_dir("a/b", NULL));
}

/* How many entries of another user's directory are looked at. */
#define MAX_ENTRIES 1000

/* Makes @n directories that have failed, from @first on; @make: FALSE: removes them. */
static void change_failed(const char *place, guint first, guint n, gboolean make)
{
    for (guint i = first; i < first + n; i++) {
        g_autofree char *dir = g_strdup_printf("%s/failed%u", place, i);
        g_autofree char *record = g_build_filename(dir, "failure.json", NULL);
        struct stat st;
        if (make) {
            g_assert_no_errno(g_mkdir(dir, 0700));
            g_assert_true(g_file_set_contents(record, "{}", -1, NULL));
            g_assert_no_errno(lstat(place, &st));
            g_assert_no_errno(chown(dir, st.st_uid, st.st_gid));
        } else {
            g_unlink(record);
            g_rmdir(dir);
        }
    }
}

static guint count(CvdInstances which, const char *place)
{
    g_autoptr(GPtrArray) dirs = cvd_instance_list(which, NULL);
    guint n = 0;

    for (guint i = 0; i < dirs->len; i++)
        n += g_str_has_prefix(g_ptr_array_index(dirs, i), place);
    return n;
}

static void test_of_a_user_who_has_many(void)
{
    const uid_t uid = 1000000 + (uid_t)getpid();
    g_autofree char *place = g_strdup_printf("/tmp/cvd-%u", uid);

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    g_unsetenv("CVD_RUNTIME_DIR");
    g_assert_no_errno(g_mkdir(place, 0700));
    g_assert_no_errno(chown(place, uid, uid));
    change_failed(place, 0, MAX_ENTRIES, TRUE);
    g_assert_cmpuint(count(CVD_INSTANCES_FAILED, place), ==, MAX_ENTRIES);
    change_failed(place, MAX_ENTRIES, 1, TRUE);
    g_assert_cmpuint(count(CVD_INSTANCES_FAILED, place), ==, MAX_ENTRIES);
    change_failed(place, 0, MAX_ENTRIES + 1, FALSE);
    g_rmdir(place);
}

/* One machine is one instance, whatever leads to it. */
static void test_links(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    add(runtime, "g-1", RUNNING);
    add(runtime, "g-2", FAILED);
    add_link(runtime, "g-3", NULL, "g-1");
    add_link(runtime, "g-4", "control.sock", "../g-1/control.sock");
    add_link(runtime, "g-5", NULL, "g-2");
    add_link(runtime, "g-6", "failure.json", "../g-2/failure.json");
    assert_listed(CVD_INSTANCES_RUNNING, "g-1 ");
    assert_listed(CVD_INSTANCES_FAILED, "g-2 ");
    assert_not_found("g-3", "vm.sock", CVD_ERROR_FOREIGN, "cvd/g-3: is not a directory");
    assert_not_found("g-4", "vm.sock", CVD_ERROR_FOREIGN, "g-4/control.sock: is not a socket of");
    assert_found(runtime, NULL, "g-1");
    add_link(runtime, "g-1", "client.sock", "vm.sock");
    assert_not_found("g-1", "client.sock", CVD_ERROR_FOREIGN, "g-1/client.sock: is not a socket");
}

/* Who sets the variable may have a link there, or above. */
static void test_linked_place(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    g_autofree char *link = g_build_filename(runtime->dir, "link", NULL);
    g_autofree char *above = g_build_filename(runtime->dir, "above", NULL);
    g_autofree char *below = g_build_filename(above, "cvd", NULL);

    add(runtime, "one", RUNNING);
    g_assert_no_errno(symlink("cvd", link));
    g_assert_no_errno(symlink(".", above));
    g_setenv("CVD_RUNTIME_DIR", link, TRUE);
    assert_found(runtime, "one", "one");
    g_setenv("CVD_RUNTIME_DIR", below, TRUE);
    g_autofree char *found = cvd_instance_find_socket("one", "vm.sock", NULL);
    g_assert_nonnull(found);
    g_assert_true(g_str_has_prefix(found, below));
    g_assert_no_errno(g_unlink(link));
    g_assert_no_errno(symlink("nowhere", link));
    g_setenv("CVD_RUNTIME_DIR", link, TRUE);
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, "CVD_RUNTIME_DIR: ");
    if (geteuid() == 0) {
        g_assert_no_errno(g_unlink(link));
        g_assert_no_errno(symlink("cvd", link));
        g_assert_no_errno(lchown(link, 65534, 65534));
        assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, "CVD_RUNTIME_DIR: ");
    }
    g_unlink(link);
    g_unlink(above);
}

/* In a child that has a /run of its own: as where /var/run leads to /run. */
static int list_twice(gconstpointer data)
{
    const Runtime *runtime = data;
    g_autofree char *other = g_build_filename(runtime->dir, "run", NULL);
    g_autofree char *usual = g_strdup_printf("/run/user/%u", geteuid());
    g_autofree char *same = g_strdup_printf("%s/user/%u", other, geteuid());
    g_autofree char *place = g_build_filename(usual, "cvd", NULL);

    if (!test_mount_tmpfs("/run", NULL))
        return TEST_CHILD_SKIPS;
    g_setenv("XDG_RUNTIME_DIR", same, TRUE);
    if (symlink("/run", other) < 0 || g_mkdir_with_parents(place, 0700) < 0)
        return 1;
    add_at((Runtime *)runtime, place, "one", RUNNING);
    g_autoptr(GPtrArray) dirs = cvd_instance_list(CVD_INSTANCES_RUNNING, NULL);
    return dirs->len == 1 && g_str_has_prefix(dirs->pdata[0], same) ? 0 : 2;
}

static void test_same_place(void)
{
    g_autoptr(Runtime) runtime = runtime_new_beside_others();
    g_autofree char *other = g_build_filename(runtime->dir, "run", NULL);

    test_in_child(list_twice, runtime, "needs a mount namespace");
    g_unlink(other);
}

/* Listens as that user, whom the kernel names to who connects. */
static void listen_as(int fd, uid_t uid)
{
    g_assert_no_errno(seteuid(uid));
    g_assert_no_errno(listen(fd, MAX_CONNECTIONS));
    g_assert_no_errno(seteuid(0));
}

/* Who may put a directory or a socket there need not be who listens. */
static void test_of_another_peer(void)
{
    g_autoptr(Runtime) runtime = runtime_new();

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    add(runtime, "one", LEFTOVER);
    g_autofree char *dir = g_build_filename(g_ptr_array_index(runtime->files, 0), "one", NULL);
    listen_as(runtime->sockets[0], 65534);
    assert_listed(CVD_INSTANCES_RUNNING, "");
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN,
                     "belongs to uid 0, but uid 65534 listens there");
    g_assert_cmpint(cvd_instance_get_pid(dir), ==, 0);
    g_assert_no_errno(listen(runtime->sockets[0], MAX_CONNECTIONS));
    assert_found(runtime, "one", "one");
    g_assert_no_errno(chown(dir, 65534, 65534));
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, "one: belongs to uid 65534, but ");
}

/* What a user plants leads root to none of root's. */
static void test_planted(void)
{
    const uid_t uid = 1000000 + (uid_t)getpid(); /* no other test's */
    g_autoptr(Runtime) runtime = runtime_new_beside_others();
    g_autofree char *place = g_strdup_printf("/tmp/cvd-%u", uid);
    g_autofree char *linked = g_build_filename(place, "linked", NULL);
    g_autofree char *dir = g_build_filename(place, "dir", NULL);
    g_autofree char *control = g_build_filename(dir, "control.sock", NULL);

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    add(runtime, "mine", RUNNING);
    g_autofree char *mine = g_build_filename(g_ptr_array_index(runtime->files, 0), "mine", NULL);
    g_autofree char *socket = g_build_filename(mine, "control.sock", NULL);
    g_assert_no_errno(g_mkdir(place, 0700));
    g_assert_no_errno(chown(place, uid, uid));
    g_assert_no_errno(seteuid(uid));
    g_assert_no_errno(symlink(mine, linked));
    g_assert_no_errno(g_mkdir(dir, 0700));
    g_assert_no_errno(symlink(socket, control));
    g_assert_no_errno(seteuid(0));
    g_assert_cmpuint(count(CVD_INSTANCES_RUNNING, place), ==, 0);
    assert_not_found("linked", "vm.sock", CVD_ERROR_CLOSED, "'linked' does not run");
    assert_not_found("dir", "vm.sock", CVD_ERROR_CLOSED, "'dir' does not run");
    g_assert_cmpint(cvd_instance_get_pid(linked), ==, 0);
    g_assert_cmpint(cvd_instance_get_pid(dir), ==, 0);
    /* the place itself, once it has been looked at */
    g_assert_no_errno(g_unlink(control));
    g_assert_no_errno(g_rmdir(dir));
    g_assert_no_errno(g_unlink(linked));
    g_assert_no_errno(g_rmdir(place));
    g_assert_no_errno(symlink(g_ptr_array_index(runtime->files, 0), place));
    g_assert_no_errno(lchown(place, uid, uid));
    g_autofree char *through = g_build_filename(place, "mine", NULL);
    g_assert_cmpint(cvd_instance_get_pid(through), ==, 0);
    g_assert_cmpuint(count(CVD_INSTANCES_RUNNING, place), ==, 0);
    g_unlink(place);
}

/* Root finds those of users, where it has none itself. */
static void test_of_users(void)
{
    const uid_t uid = 1000000 + (uid_t)getpid(); /* no other test's */
    g_autoptr(Runtime) runtime = runtime_new_beside_others();
    g_autofree char *place = g_strdup_printf("/tmp/cvd-%u", uid);
    g_autofree char *dir = g_build_filename(place, "users", NULL);
    g_autofree char *control = g_build_filename(dir, "control.sock", NULL);
    g_autoptr(GError) error = NULL;

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    g_assert_no_errno(g_mkdir(place, 0700));
    g_assert_no_errno(g_mkdir(dir, 0700));
    cvd_autofd fd = bind_socket(control);
    listen_as(fd, uid);
    assert_not_found("users", "control.sock", CVD_ERROR_CLOSED, "does not run"); /* root's own */
    g_assert_no_errno(chown(place, uid, uid));
    g_assert_no_errno(chown(dir, uid, uid));
    g_assert_no_errno(chown(control, uid, uid));
    g_autofree char *found = cvd_instance_find_socket("users", "control.sock", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(found, ==, control);
    g_autofree char *users = cvd_instance_get_dir("users", NULL);
    g_assert_cmpstr(users, ==, dir);
    add(runtime, "users", FAILED);
    assert_dir(runtime, "users");
    add(runtime, "both", RUNNING);
    g_autofree char *other = g_build_filename(place, "both", NULL);
    g_assert_no_errno(g_rename(dir, other));
    assert_found(runtime, "both", "both");
    assert_dir(runtime, "both");
    g_assert_no_errno(g_rename(other, dir));
    g_unlink(control);
    g_rmdir(dir);
    g_rmdir(place);
}

/* With a queue that is full nobody can be asked any more, but somebody is there. */
static void test_busy_launcher(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    g_autofree char *dir = g_build_filename(runtime->dir, "cvd", "one", NULL);
    int fds[4];

    add(runtime, "one", RUNNING);
    g_assert_cmpint(cvd_instance_get_pid(dir), ==, getpid());
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", dir);
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
    g_assert_cmpint(cvd_instance_get_pid(dir), ==, -1);
    g_assert_true(cvd_instance_is_running(dir));
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        cvd_close_fd(&fds[i]);
}

/* One that is not to be read is not empty. */
static void test_unreadable(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    const char *place = g_ptr_array_index(runtime->files, 0);
    g_autoptr(GError) error = NULL;

    if (geteuid() == 0) {
        g_test_skip("root may read everything");
        return;
    }
    g_assert_no_errno(g_chmod(place, 0));
    g_assert_null(cvd_instance_list(CVD_INSTANCES_RUNNING, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_FAILED, place);
    g_assert_no_errno(g_chmod(place, 0700));
}

/* What its launcher holds while it lives: who starts is not one that was killed. */
static void test_killed(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    pid_t holder;

    add(runtime, "killed", LEFTOVER);
    g_autofree char *dir = cvd_instance_get_dir("killed", NULL);
    cvd_autofd dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cvd_autofd lock_fd = cvd_lock_file_take(dir_fd, "lock", &holder);
    g_ptr_array_add(runtime->files, g_build_filename(dir, "lock", NULL));
    assert_listed(CVD_INSTANCES_FAILED, "");
    g_assert_cmpint(cvd_lock_file_write(lock_fd, NULL), ==, 0);
    g_assert_cmpint(flock(dir_fd, LOCK_EX), ==, 0);
    assert_listed(CVD_INSTANCES_FAILED, "");
    g_assert_cmpint(flock(dir_fd, LOCK_UN), ==, 0);
    assert_listed(CVD_INSTANCES_FAILED, "killed ");
    assert_listed(CVD_INSTANCES_RUNNING, "");
}

int main(int argc, char **argv)
{
    const char *outer = g_getenv("TMPDIR");
    g_autofree char *tmp = g_build_filename(outer != NULL ? outer : "/tmp", "unit-XXXXXX", NULL);

    g_setenv("TMPDIR", g_mkdtemp(tmp), TRUE); /* before GLib has looked */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/instance/places", test_places);
    g_test_add_func("/instance/runtime-dir-of-another-user", test_runtime_dir_of_another);
    g_test_add_func("/instance/none", test_none);
    g_test_add_func("/instance/the-only-one", test_the_only_one);
    g_test_add_func("/instance/leftovers-do-not-count", test_leftovers_do_not_count);
    g_test_add_func("/instance/held", test_held);
    g_test_add_func("/instance/several", test_several);
    g_test_add_func("/instance/many", test_many);
    g_test_add_func("/instance/socket-elsewhere", test_socket_elsewhere);
    g_test_add_func("/instance/no-names", test_no_names);
    g_test_add_func("/instance/other-names", test_other_names);
    g_test_add_func("/instance/bad-place", test_bad_place);
    g_test_add_func("/instance/another-owner", test_another_owner);
    g_test_add_func("/instance/list", test_list);
    g_test_add_func("/instance/groups", test_groups);
    g_test_add_func("/instance/killed", test_killed);
    g_test_add_func("/instance/directory", test_dir);
    g_test_add_func("/instance/unreadable", test_unreadable);
    g_test_add_func("/instance/links", test_links);
    g_test_add_func("/instance/linked-place", test_linked_place);
    g_test_add_func("/instance/same-place-by-two-paths", test_same_place);
    g_test_add_func("/instance/of-another-peer", test_of_another_peer);
    g_test_add_func("/instance/planted-by-another-user", test_planted);
    g_test_add_func("/instance/of-users-for-root", test_of_users);
    g_test_add_func("/instance/of-a-user-who-has-many", test_of_a_user_who_has_many);
    g_test_add_func("/instance/busy-launcher", test_busy_launcher);
    int status = g_test_run();
    g_rmdir(tmp);
    return status;
}
