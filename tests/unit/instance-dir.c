/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/instance-dir.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/unit/child.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char *root; /* $XDG_RUNTIME_DIR of the test */

static char *path_of(const char *file)
{
    return g_build_filename(root, "cvd", "t", file, NULL);
}

static void put(const char *file, const char *content)
{
    g_autofree char *path = path_of(file);
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_no_errno(chmod(base, 01700)); /* as launchers make it */
    g_assert_true(g_file_set_contents(path, content, -1, NULL));
}

static void remove_all(void)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s/cvd'", root);
    g_assert_cmpint(system(command), ==, 0);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    g_assert_no_errno(lstat(path, &st));
    return st.st_mode & 07777;
}

static void assert_gone(void)
{
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_assert_false(g_file_test(base, G_FILE_TEST_EXISTS));
}

static void test_path(void)
{
    g_autofree char *dir = cvd_instance_dir_path("t");
    g_autofree char *expected = g_build_filename(root, "cvd", "t", NULL);
    g_assert_cmpstr(dir, ==, expected);

    g_unsetenv("XDG_RUNTIME_DIR");
    g_autofree char *without = cvd_instance_dir_path("t");
    g_autofree char *per_user = g_strdup_printf("%s/cvd-%u/t", g_get_tmp_dir(), geteuid());
    g_assert_cmpstr(without, ==, geteuid() == 0 ? "/run/cvd/t" : per_user);
    g_setenv("XDG_RUNTIME_DIR", root, TRUE);
}

static void test_acquire_and_release(void)
{
    g_autoptr(GError) error = NULL;
    mode_t saved = umask(0777); /* must not matter */
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
    g_assert_no_error(error);
    cvd_autofd log = cvd_instance_dir_create_file(dir, "console.log", &error);
    g_assert_no_error(error);
    g_assert_cmpint(log, >=, 0);
    umask(saved);

    g_autofree char *lock = path_of("lock");
    g_autofree char *console = path_of("console.log");
    g_autofree char *content = NULL;
    g_assert_cmpint(mode_of(cvd_instance_dir_get_path(dir)), ==, 0700);
    g_assert_cmpint(mode_of(lock), ==, 0600);
    g_assert_cmpint(mode_of(console), ==, 0600);
    g_assert_true(g_file_get_contents(lock, &content, NULL, NULL));
    g_assert_cmpint(atoi(content), ==, getpid());

    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
}

static void test_logs_are_kept(void)
{
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    cvd_autofd log = cvd_instance_dir_create_file(dir, "qemu.log", NULL);
    g_assert_cmpint(log, >=, 0);
    cvd_instance_dir_release(dir, TRUE);

    g_autofree char *kept = path_of("qemu.log");
    g_autofree char *lock = path_of("lock");
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));

    dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    cvd_instance_dir_release(dir, TRUE); /* a start that fails before it has anything to say */
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));

    dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    cvd_instance_dir_remove_records(dir);
    g_assert_false(g_file_test(kept, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
}

/* Of host programs, whatever their names are. */
static void test_program_logs(void)
{
    static const char *const files[] = {"programs/echo.log", "programs/echo.log.1",
                                        "programs/a.b_C-1.log"};
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_autofree char *programs = path_of("programs");

    g_assert_nonnull(dir);
    g_assert_false(g_file_test(programs, G_FILE_TEST_EXISTS));
    cvd_autofd log = cvd_instance_dir_create_file(dir, files[0], NULL);
    cvd_autofd other = cvd_instance_dir_create_file(dir, files[2], NULL);
    cvd_autofd newer = cvd_instance_dir_rotate_log(dir, files[0], NULL);
    g_assert_cmpint(log, >=, 0);
    g_assert_cmpint(other, >=, 0);
    g_assert_cmpint(newer, >=, 0);
    cvd_autofd older = cvd_instance_dir_open_rotated(dir, files[0]);
    g_autofree char *older_path = path_of(files[1]);
    g_assert_true(cvd_fd_is_at(log, AT_FDCWD, older_path));
    g_assert_cmpint(older, >=, 0);
    g_assert_cmpint(mode_of(programs), ==, 0700);
    cvd_instance_dir_release(dir, TRUE);

    dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = path_of(files[i]);
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    }
    cvd_instance_dir_remove_records(dir);
    g_assert_false(g_file_test(programs, G_FILE_TEST_EXISTS));
    cvd_autofd again = cvd_instance_dir_create_file(dir, files[0], NULL);
    g_assert_cmpint(again, >=, 0);
    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
}

/* What is not a program's log is nobody's to remove, nor is what a link points to. */
static void test_program_logs_of_others(void)
{
    static const char *const files[] = {"programs/notes.txt", "programs/.log", "programs/-.log",
                                        "programs/echo.log.2"};
    g_autofree char *link_path = path_of("programs");
    g_autofree char *elsewhere = g_build_filename(root, "elsewhere", NULL);
    g_autofree char *theirs = g_build_filename(elsewhere, "echo.log", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GError) error = NULL;
        put(files[i], "mine");
        g_assert_null(cvd_instance_dir_acquire("t", &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
        g_assert_nonnull(strstr(error->message, files[i]));
        remove_all();
    }

    g_autoptr(GError) error = NULL;
    g_autoptr(GError) create_error = NULL;
    g_assert_no_errno(mkdir(elsewhere, 0700));
    g_assert_true(g_file_set_contents(theirs, "mine", -1, NULL));
    put("vm.sock", "");
    g_assert_no_errno(symlink(elsewhere, link_path));
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_nonnull(strstr(error->message, "programs: is no directory of ours"));
    g_assert_no_errno(unlink(link_path));

    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL); /* and one that comes later */
    g_assert_nonnull(dir);
    g_assert_no_errno(symlink(elsewhere, link_path));
    g_assert_cmpint(cvd_instance_dir_create_file(dir, "programs/echo.log", &create_error), ==, -1);
    g_assert_nonnull(strstr(create_error->message, "programs/echo.log"));
    cvd_instance_dir_remove_records(dir);
    g_assert_true(g_file_test(theirs, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(dir, FALSE);
    remove_all();
    g_assert_no_errno(unlink(theirs));
    g_assert_no_errno(rmdir(elsewhere));
}

static void test_program_log_is_a_link(void)
{
    g_autofree char *target = g_build_filename(root, "target", NULL);
    g_autofree char *link_path = path_of("programs/echo.log");
    g_autofree char *content = NULL;

    g_assert_true(g_file_set_contents(target, "mine", -1, NULL));
    put("lock", "1\n");
    put("programs/other.log", "");
    g_assert_no_errno(symlink(target, link_path));
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    cvd_autofd log = cvd_instance_dir_create_file(dir, "programs/echo.log", NULL);
    g_assert_cmpint(log, >=, 0);
    g_assert_cmpint(write(log, "ours", 4), ==, 4);
    g_assert_true(g_file_get_contents(target, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "mine");
    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
    g_assert_no_errno(unlink(target));
}

static void test_busy(void)
{
    g_autoptr(GError) error = NULL;
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);

    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_autofree char *words = g_strdup_printf("instance 't' is already running (pid %d)", getpid());
    g_assert_nonnull(strstr(error->message, words));
    g_autofree char *lock = path_of("lock");
    g_assert_true(g_file_test(lock, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(dir, FALSE);
}

/* A pid in the lock is believed only while the lock is held: this one is alive, and no launcher. */
static void test_leftovers(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *pid = g_strdup_printf("%d\n", getppid());
    put("lock", pid);
    put("vm.sock", "");
    put("client.sock", "");
    put("control.sock", "");
    put("console.log", "old");
    put("qemu.log", "old");

    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
    g_assert_no_error(error);
    g_autofree char *socket_path = path_of("vm.sock");
    g_assert_false(g_file_test(socket_path, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
}

static void test_foreign_file(void)
{
    g_autoptr(GError) error = NULL;
    put("precious.txt", "mine");

    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_nonnull(strstr(error->message, "precious.txt"));
    g_autofree char *precious = path_of("precious.txt");
    g_autofree char *lock = path_of("lock");
    g_assert_true(g_file_test(precious, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));
    remove_all();
}

/* A name that only resembles ours is somebody's. */
static void test_names_like_ours(void)
{
    static const char *const files[] = {"vm.sock.orig", ".vm.sock", "lock.1"};

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = path_of(files[i]);
        put(files[i], "mine");
        g_assert_null(cvd_instance_dir_acquire("t", &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
        g_assert_nonnull(strstr(error->message, files[i]));
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
        remove_all();
    }
}

/* What a cleaner of /tmp removes is no way in for a second one. */
static void test_lock_file_is_removed(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *lock = path_of("lock");
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);

    g_assert_nonnull(dir);
    g_assert_no_errno(unlink(lock));
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "already running"));
    g_assert_nonnull(strstr(error->message, "its lock file was removed"));
    cvd_instance_dir_release(dir, FALSE);
    assert_gone();
}

/* The first one's end takes nothing of the second's, which came when all of the first's was gone.
 */
static void test_directory_is_removed(void)
{
    g_autofree char *lock = path_of("lock");
    g_autofree char *log = path_of("qemu.log");
    CvdInstanceDir *first = cvd_instance_dir_acquire("t", NULL);
    cvd_autofd first_log = cvd_instance_dir_create_file(first, "qemu.log", NULL);

    g_assert_cmpint(first_log, >=, 0);
    remove_all();
    CvdInstanceDir *second = cvd_instance_dir_acquire("t", NULL);
    cvd_autofd second_log = cvd_instance_dir_create_file(second, "qemu.log", NULL);
    g_assert_cmpint(second_log, >=, 0);
    cvd_instance_dir_release(first, FALSE);
    g_assert_true(g_file_test(lock, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(log, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(second, FALSE);
    assert_gone();
}

/* `systemd-tmpfiles --clean` leaves what is locked alone, and all below it: tmpfiles.d(5). */
static void test_cleaner(void)
{
    g_autofree char *config = g_build_filename(root, "clean.conf", NULL);
    g_autofree char *line = g_strdup_printf("e %s - - - 1us\n", root);
    g_autofree char *lock = path_of("lock");
    g_autofree char *command =
        g_strdup_printf("systemd-tmpfiles --clean '%s' >/dev/null 2>&1", config);
    g_autofree char *program = g_find_program_in_path("systemd-tmpfiles");

    if (program == NULL) {
        g_test_skip("systemd-tmpfiles is not there");
        return;
    }
    g_assert_true(g_file_set_contents(config, line, -1, NULL));
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    g_assert_cmpint(system(command), ==, 0);
    g_assert_true(g_file_test(lock, G_FILE_TEST_EXISTS));
    cvd_instance_dir_release(dir, FALSE);
    put("lock", "0"); /* while what nobody holds goes: the cleaner did look here */
    g_assert_true(g_file_set_contents(config, line, -1, NULL));
    g_assert_cmpint(system(command), ==, 0);
    g_assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));
    remove_all();
    g_unlink(config);
}

/* An administrator's, or a unit's RuntimeDirectory=: mode and directory stay. */
static void test_directories_of_others_making(void)
{
    static const mode_t modes[] = {02770, 0755, 0700};
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_autofree char *own = g_build_filename(base, "t", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_assert_no_errno(mkdir(base, 0700));
        g_assert_no_errno(mkdir(own, 0700));
        g_assert_no_errno(chmod(base, modes[i]));
        g_assert_no_errno(chmod(own, modes[i]));
        CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
        g_assert_nonnull(dir);
        g_assert_cmpint(mode_of(base), ==, modes[i]);
        g_assert_cmpint(mode_of(own), ==, modes[i]);
        cvd_instance_dir_release(dir, FALSE);
        g_assert_cmpint(mode_of(base), ==, modes[i]);
        g_assert_cmpint(mode_of(own), ==, modes[i]);
        g_assert_no_errno(rmdir(own)); /* nothing is left in it */
        g_assert_no_errno(rmdir(base));
    }
}

static void test_lock_is_no_file(void)
{
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_autofree char *own = g_build_filename(base, "t", NULL);
    g_autofree char *lock = path_of("lock");

    g_assert_no_errno(mkdir(base, 0700));
    g_assert_no_errno(mkdir(own, 0700));
    for (guint i = 0; i < 3; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_no_errno(i == 0   ? mkfifo(lock, 0600)
                          : i == 1 ? mkdir(lock, 0700)
                                   : symlink("x", lock));
        g_assert_null(cvd_instance_dir_acquire("t", &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
        g_assert_nonnull(strstr(error->message, "t/lock: is not a regular file; remove it"));
        g_assert_no_errno(remove(lock));
    }
    g_assert_no_errno(rmdir(own));
    g_assert_no_errno(rmdir(base));
}

static void test_directories_that_others_may_write(void)
{
    static const struct {
        mode_t mode;
        guint n_warnings;
        gboolean is_refused;
    } cases[] = {{0700, 0, FALSE},  {0755, 0, FALSE}, {02770, 0, FALSE}, {0770, 1, FALSE},
                 {01777, 1, FALSE}, {0777, 0, TRUE},  {02777, 0, TRUE}};
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_autofree char *own = g_build_filename(base, "t", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_no_errno(mkdir(base, 0700));
        g_assert_no_errno(mkdir(own, 0700));
        g_assert_no_errno(chmod(own, cases[i].mode));
        test_log_forget();
        CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
        g_assert_cmpint(dir == NULL, ==, cases[i].is_refused);
        g_assert_cmpuint(test_log_count("others may write there"), ==, cases[i].n_warnings);
        if (cases[i].is_refused)
            g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
        else
            cvd_instance_dir_release(dir, FALSE);
        g_assert_no_errno(rmdir(own));
        g_assert_no_errno(rmdir(base));
    }
}

/* Only the shared one was there: what is made in it goes, though it gets the group's bit. */
static void test_directory_in_one_of_others(void)
{
    g_autofree char *base = g_build_filename(root, "cvd", NULL);

    g_assert_no_errno(mkdir(base, 0700));
    g_assert_no_errno(chmod(base, 02770));
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    g_assert_cmpint(mode_of(cvd_instance_dir_get_path(dir)), ==, 0700);
    cvd_instance_dir_release(dir, FALSE);
    g_assert_cmpint(mode_of(base), ==, 02770);
    g_assert_no_errno(rmdir(base));
}

/* In a child that has a /run of its own. Returns: an exit status */
static int acquire_beside(gconstpointer theirs)
{
    if (!test_mount_tmpfs("/run", NULL))
        return TEST_CHILD_SKIPS;
    g_setenv("XDG_RUNTIME_DIR", theirs, TRUE);
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    if (dir == NULL || strcmp(cvd_instance_dir_get_path(dir), "/run/cvd/t") != 0)
        return 1;
    cvd_instance_dir_release(dir, FALSE);
    return test_log_count("(uid 65534); the runtime directory is /run/cvd/t") == 1 ? 0 : 2;
}

/* `sudo -E`: root makes nothing in a directory of the user's, who could not remove it. */
static void test_runtime_dir_of_another_user(void)
{
    g_autofree char *theirs = g_build_filename(root, "theirs", NULL);

    if (geteuid() != 0) {
        g_test_skip("needs root, to give a directory away");
        return;
    }
    g_assert_no_errno(mkdir(theirs, 0700));
    g_assert_no_errno(chown(theirs, 65534, 65534));
    test_in_child(acquire_beside, theirs, "cannot mount anything here");
    g_assert_no_errno(rmdir(theirs)); /* it is still empty */
}

/* Whoever may open an administrator's directory may lock it; the lock file he cannot open. */
static void test_locked_by_a_stranger(void)
{
    g_autofree char *own = path_of("");
    g_autoptr(GError) error = NULL;

    put("vm.sock", "");
    g_assert_no_errno(chmod(own, 0755));
    cvd_autofd stranger = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_no_errno(flock(stranger, LOCK_SH));
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", NULL);
    g_assert_nonnull(dir);
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    cvd_instance_dir_release(dir, FALSE);
    remove_all();
}

/* Of one name there is one instance, whatever environment each was started with. */
static void test_running_in_another_place(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *place = g_strdup_printf("%s/cvd-%u", g_get_tmp_dir(), geteuid());
    g_autofree char *other = g_build_filename(place, "t", NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(g_mkdir_with_parents(other, 0700), ==, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", other);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(fd, 1));
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, other));
    g_unlink(address.sun_path);
    g_rmdir(other);
    g_rmdir(place);
}

/* The file system takes no byte: the directory that was made for the lock goes again. */
static void test_full_file_system(void)
{
    g_autoptr(GError) error = NULL;
    struct rlimit before, none;

    g_assert_no_errno(getrlimit(RLIMIT_FSIZE, &before));
    none = before;
    none.rlim_cur = 0;
    signal(SIGXFSZ, SIG_IGN);
    g_assert_no_errno(setrlimit(RLIMIT_FSIZE, &none));
    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
    g_assert_no_errno(setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, SIG_DFL);
    g_assert_null(dir);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    assert_gone();
}

static void test_directory_in_place_of_socket(void)
{
    g_autoptr(GError) error = NULL;
    put("vm.sock/file", "mine");

    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_nonnull(strstr(error->message, "vm.sock"));
    remove_all();
}

static void test_symlinks(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *target = g_build_filename(root, "target", NULL);
    g_autofree char *link_path = path_of("client.sock");
    g_assert_true(g_file_set_contents(target, "mine", -1, NULL));
    put("lock", "1\n");
    put("vm.sock", "");
    g_assert_no_errno(symlink(target, link_path));

    CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
    g_assert_no_error(error);
    cvd_instance_dir_release(dir, FALSE);
    g_assert_true(g_file_test(target, G_FILE_TEST_EXISTS)); /* the link went, not its target */

    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_autofree char *elsewhere = g_build_filename(root, "elsewhere", NULL);
    g_assert_no_errno(mkdir(elsewhere, 0700));
    g_assert_no_errno(symlink(elsewhere, base));
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_no_errno(unlink(base));
    g_assert_no_errno(rmdir(elsewhere));
    g_assert_no_errno(unlink(target));
}

static void test_other_owner(void)
{
    g_autoptr(GError) error = NULL;
    if (geteuid() != 0) {
        g_test_skip("needs root, to give a directory away");
        return;
    }
    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_assert_no_errno(mkdir(base, 0700));
    g_assert_no_errno(chown(base, 65534, 65534));
    g_assert_null(cvd_instance_dir_acquire("t", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    g_assert_nonnull(strstr(error->message, "65534"));
    remove_all();
}

/* Processes that acquire and release one instance all at once never own it together. */
static void test_race(void)
{
    enum {
        N_PROCESSES = 8,
        N_ROUNDS = 300
    };
    g_autofree char *marker = g_build_filename(root, "marker", NULL);
    pid_t pids[N_PROCESSES];

    for (int i = 0; i < N_PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        for (int round = 0; round < N_ROUNDS; round++) {
            g_autoptr(GError) error = NULL;
            CvdInstanceDir *dir = cvd_instance_dir_acquire("t", &error);
            if (dir == NULL && !g_error_matches(error, CVD_ERROR, CVD_ERROR_BUSY)) {
                g_printerr("# %s\n", error->message);
                _exit(1);
            }
            if (dir == NULL)
                continue;
            cvd_autofd fd = open(marker, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
            if (fd < 0 || unlink(marker) < 0)
                _exit(2);
            cvd_instance_dir_release(dir, FALSE);
        }
        _exit(0);
    }
    for (int i = 0; i < N_PROCESSES; i++) {
        int status;
        g_assert_cmpint(waitpid(pids[i], &status, 0), ==, pids[i]);
        g_assert_cmpint(status, ==, 0);
    }
    assert_gone();
}

int main(int argc, char **argv)
{
    const char *outer = g_getenv("TMPDIR");

    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    /* The places that all look in are this test's own, too; GLib looks at the variable once. */
    root = g_mkdtemp(g_build_filename(outer != NULL ? outer : "/tmp", "cvd-XXXXXX", NULL));
    g_setenv("XDG_RUNTIME_DIR", root, TRUE);
    g_setenv("TMPDIR", root, TRUE);

    g_test_add_func("/instance-dir/path", test_path);
    g_test_add_func("/instance-dir/acquire-and-release", test_acquire_and_release);
    g_test_add_func("/instance-dir/logs-are-kept-till-there-are-new-ones", test_logs_are_kept);
    g_test_add_func("/instance-dir/logs-of-programs", test_program_logs);
    g_test_add_func("/instance-dir/what-is-no-log-of-a-program", test_program_logs_of_others);
    g_test_add_func("/instance-dir/log-of-a-program-is-a-link", test_program_log_is_a_link);
    g_test_add_func("/instance-dir/busy-names-the-pid", test_busy);
    g_test_add_func("/instance-dir/leftovers-with-a-reused-pid", test_leftovers);
    g_test_add_func("/instance-dir/foreign-file", test_foreign_file);
    g_test_add_func("/instance-dir/names-like-ours", test_names_like_ours);
    g_test_add_func("/instance-dir/lock-file-is-removed", test_lock_file_is_removed);
    g_test_add_func("/instance-dir/directory-is-removed", test_directory_is_removed);
    g_test_add_func("/instance-dir/cleaner-of-tmp", test_cleaner);
    g_test_add_func("/instance-dir/directories-of-others-making",
                    test_directories_of_others_making);
    g_test_add_func("/instance-dir/lock-is-no-file", test_lock_is_no_file);
    g_test_add_func("/instance-dir/that-others-may-write", test_directories_that_others_may_write);
    g_test_add_func("/instance-dir/directory-in-one-of-others", test_directory_in_one_of_others);
    g_test_add_func("/instance-dir/runtime-directory-of-another-user",
                    test_runtime_dir_of_another_user);
    g_test_add_func("/instance-dir/locked-by-a-stranger", test_locked_by_a_stranger);
    g_test_add_func("/instance-dir/running-in-another-place", test_running_in_another_place);
    g_test_add_func("/instance-dir/full-file-system", test_full_file_system);
    g_test_add_func("/instance-dir/directory-in-place-of-a-socket",
                    test_directory_in_place_of_socket);
    g_test_add_func("/instance-dir/symlinks-are-not-followed", test_symlinks);
    g_test_add_func("/instance-dir/other-owner", test_other_owner);
    g_test_add_func("/instance-dir/eight-processes-race", test_race);
    int r = g_test_run();

    g_autofree char *base = g_build_filename(root, "cvd", NULL);
    g_rmdir(base);
    g_rmdir(root);
    g_free(root);
    return r;
}
