/* SPDX-License-Identifier: Apache-2.0 */
/* Which instance a program means that names one, or none. */
#include "base/instance.h"

#include "base/error.h"
#include "base/fd.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MAX_INSTANCES 20

typedef enum {
    LEFTOVER, /* its launcher has crashed */
    RUNNING,
} State;

/* A runtime directory of the test's own. */
typedef struct {
    char *dir;
    GPtrArray *files;
    int locks[MAX_INSTANCES];
    guint n_locks;
} Runtime;

static Runtime *runtime_new(void)
{
    Runtime *runtime = g_new0(Runtime, 1);

    runtime->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    runtime->files = g_ptr_array_new_with_free_func(g_free);
    g_setenv("XDG_RUNTIME_DIR", runtime->dir, TRUE);
    g_ptr_array_add(runtime->files, g_build_filename(runtime->dir, "cvd", NULL));
    g_assert_cmpint(g_mkdir(g_ptr_array_index(runtime->files, 0), 0700), ==, 0);
    return runtime;
}

static void add(Runtime *runtime, const char *name, State state)
{
    char *dir = g_build_filename(runtime->dir, "cvd", name, NULL);
    char *lock = g_build_filename(dir, "lock", NULL);
    char *socket = g_build_filename(dir, "vm.sock", NULL);
    g_autofree char *pid = g_strdup_printf("%d\n", getpid());

    g_assert_cmpuint(runtime->n_locks, <, MAX_INSTANCES);
    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(socket, "", 0, NULL));
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(write(fd, pid, strlen(pid)), ==, (gssize)strlen(pid));
    if (state == RUNNING)
        g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0);
    runtime->locks[runtime->n_locks++] = fd;
    g_ptr_array_add(runtime->files, dir);
    g_ptr_array_add(runtime->files, lock);
    g_ptr_array_add(runtime->files, socket);
}

static void runtime_free(Runtime *runtime)
{
    for (guint i = 0; i < runtime->n_locks; i++)
        cvd_close_fd(&runtime->locks[i]);
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

/* Whatever a login shell, a unit or cron has set, there is one list, which each looks through. */
static void test_places(void)
{
    g_autofree char *per_user = g_strdup_printf("/tmp/cvd-%u", geteuid());
    g_autofree char *own = g_dir_make_tmp("cvd-XXXXXX", NULL);
    g_autofree char *own_place = g_build_filename(own, "cvd", NULL);
    const char *first_without = geteuid() == 0 ? "/run/cvd" : NULL;

    g_setenv("XDG_RUNTIME_DIR", own, TRUE);
    g_auto(GStrv) with = cvd_instance_get_places();
    g_assert_cmpstr(with[0], ==, own_place);
    g_assert_true(g_strv_contains((const char *const *)with, per_user));
    g_unsetenv("XDG_RUNTIME_DIR");
    g_auto(GStrv) without = cvd_instance_get_places();
    g_assert_true(g_strv_equal((const char *const *)without, (const char *const *)with + 1));
    if (first_without != NULL)
        g_assert_cmpstr(without[0], ==, first_without);
    g_rmdir(own);
}

/* `sudo -E` keeps the variable of a user who could change what is in there. */
static void test_runtime_dir_of_another(void)
{
    g_autofree char *dir = g_dir_make_tmp("cvd-XXXXXX", NULL);

    if (geteuid() != 0) {
        g_test_skip("needs root, to give a directory away");
        return;
    }
    g_assert_cmpint(chown(dir, 65534, 65534), ==, 0);
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
    g_setenv("XDG_RUNTIME_DIR", "/nonexistent", TRUE);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_CLOSED, "/nonexistent/cvd");
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
    assert_not_found(NULL, "vm.sock", CVD_ERROR_CLOSED, "no instance runs there");
    assert_not_found("crashed", "vm.sock", CVD_ERROR_CLOSED, "does not run");
    add(runtime, "one", RUNNING);
    assert_found(runtime, NULL, "one");
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
static void test_no_names(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    static const char *const names[] = {"", ".", "..", "../cvd/one", "a/b", "/"};

    add(runtime, "one", RUNNING);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        assert_not_found(names[i], "vm.sock", CVD_ERROR_INVALID, "no instance's name");
}

/* A symbolic link is nobody's directory, whoever made it; root can also show another owner's. */
static void test_another_owner(void)
{
    g_autoptr(Runtime) runtime = runtime_new();
    const char *base = g_ptr_array_index(runtime->files, 0);
    g_autofree char *real = g_strconcat(base, ".real", NULL);

    add(runtime, "one", RUNNING);
    g_assert_cmpint(g_rename(base, real), ==, 0);
    g_assert_cmpint(symlink(real, base), ==, 0);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_FOREIGN, "is not a directory of uid");
    assert_not_found("one", "vm.sock", CVD_ERROR_FOREIGN, base);
    g_assert_cmpint(g_unlink(base), ==, 0);
    g_assert_cmpint(g_rename(real, base), ==, 0);
    if (geteuid() != 0)
        return;
    g_assert_cmpint(chown(base, 65534, 65534), ==, 0);
    assert_not_found(NULL, "vm.sock", CVD_ERROR_FOREIGN, base);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/instance/places", test_places);
    g_test_add_func("/instance/runtime-dir-of-another-user", test_runtime_dir_of_another);
    g_test_add_func("/instance/none", test_none);
    g_test_add_func("/instance/the-only-one", test_the_only_one);
    g_test_add_func("/instance/leftovers-do-not-count", test_leftovers_do_not_count);
    g_test_add_func("/instance/several", test_several);
    g_test_add_func("/instance/many", test_many);
    g_test_add_func("/instance/socket-elsewhere", test_socket_elsewhere);
    g_test_add_func("/instance/no-names", test_no_names);
    g_test_add_func("/instance/another-owner", test_another_owner);
    return g_test_run();
}
